"""Files by content: what is stored under a sha256 is that content, whole, whatever died meanwhile."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from unocclude.durable_files import move_durably


class BlobStore:
    """Files named by their sha256 in `blobs/` of the home folder; drafts are in `work/`, on the same disk.

    Several processes may write at the same time.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "blobs"
        self._drafts = home / "work"
        for folder in (self.folder, self._drafts):
            folder.mkdir(exist_ok=True)

    def path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest[2:]

    def digest(self, path: Path) -> str:
        """The inverse of `path`."""
        return path.parent.name + path.name

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def put(self, data: bytes) -> str:
        """Store these bytes and return their digest, once they are on disk."""
        digest = hashlib.sha256(data).hexdigest()
        if not self._has(digest):
            draft = self._drafts / f"draft-{secrets.token_hex(8)}"
            try:
                draft.write_bytes(data)
                self._adopt(draft, digest)
            finally:
                draft.unlink(missing_ok=True)  # on a full disk, a part of it
        return digest

    def take(self, file: Path) -> tuple[str, int]:
        """Move a file of the same disk in; return its digest and size in bytes."""
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = file.stat().st_size
        if not self._has(digest):
            self._adopt(file, digest)
        return digest, size

    def _has(self, digest: str) -> bool:
        """Whether it is there; if so it counts as used just now, and the retention spares it."""
        try:
            os.utime(self.path(digest))
        except FileNotFoundError:
            return False
        return True

    def _adopt(self, file: Path, digest: str) -> None:
        target = self.path(digest)
        target.parent.mkdir(exist_ok=True)
        move_durably(file, target)
