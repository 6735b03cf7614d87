"""Files by content: what is stored under a sha256 is that content, whole, whatever died meanwhile."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path


class BlobStore:
    """A folder of files named by their sha256. Several processes may write at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest[2:]

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def put(self, data: bytes) -> str:
        """Store these bytes and return their digest, once they are on disk."""
        digest = hashlib.sha256(data).hexdigest()
        if not self.path(digest).exists():
            draft = self._folder / f"draft-{secrets.token_hex(8)}"
            draft.write_bytes(data)
            self._adopt(draft, digest)
        return digest

    def take(self, file: Path) -> tuple[str, int]:
        """Move a file of the same disk in; return its digest and size in bytes."""
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = file.stat().st_size
        if not self.path(digest).exists():
            self._adopt(file, digest)
        return digest, size

    def _adopt(self, file: Path, digest: str) -> None:
        target = self.path(digest)
        target.parent.mkdir(exist_ok=True)
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(file, target)
        if os.name == "posix":  # Windows has no handles of folders to flush
            descriptor = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
