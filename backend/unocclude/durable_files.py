"""Files that are there whole or not at all, and stay when the power goes."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Write a file in one step; its folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.draft")
    try:
        draft.write_bytes(data)
        move_durably(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def move_durably(file: Path, target: Path) -> None:
    """Move a finished file to its place on the same disk, where it replaces what was there."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(file, target)
    if os.name == "posix":  # Windows has no handles of folders to flush
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
