"""Files by content: what is stored under a sha256 is that content, whole, whatever died meanwhile."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from unocclude.durable_files import move_durably

WORK_FOLDER = "work"
"""In the home folder, so on the same disk: what is not finished yet."""


class BlobStore:
    """Files named by their sha256 in `blobs/` of the home folder; what is to be moved there is made in `work/`.

    Several processes may write at the same time.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "blobs"
        for folder in (self.folder, home / WORK_FOLDER):
            folder.mkdir(exist_ok=True)

    def path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest[2:]

    def digest(self, path: Path) -> str:
        """The inverse of `path`."""
        return path.parent.name + path.name

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def adopt(self, file: Path, digest: str) -> None:
        """Move a file of the same disk in, whose sha256 this is."""
        if not self.has(digest):
            target = self.path(digest)
            target.parent.mkdir(exist_ok=True)
            move_durably(file, target)

    def take(self, file: Path) -> tuple[str, int]:
        """Move a file of the same disk in; return its digest and size in bytes."""
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = file.stat().st_size
        self.adopt(file, digest)
        return digest, size

    def has(self, digest: str) -> bool:
        """Whether it is there; if so it counts as used just now, and the retention spares it."""
        try:
            os.utime(self.path(digest))
        except FileNotFoundError:
            return False
        return True
