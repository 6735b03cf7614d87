"""Pictures in panels: what the backend is working on, and what it made."""

from __future__ import annotations

import hashlib
from pathlib import Path

import bpy
import bpy.utils.previews
from bpy.utils.previews import ImagePreviewCollection

_newest: ImagePreviewCollection | None = None
_files: ImagePreviewCollection | None = None


def icon_of(png: bytes) -> int:
    """The icon's number. Only the newest picture is kept."""
    assert _newest is not None
    name = hashlib.sha256(png).hexdigest()
    if name not in _newest:
        path = Path(bpy.app.tempdir) / "unocclude-preview.png"
        path.write_bytes(png)
        _newest.clear()
        preview = _newest.load(name, str(path), "IMAGE")
        tuple(preview.image_size)  # reads the file now, before the next picture replaces it
    return int(_newest[name].icon_id)


def icon_of_file(path: Path) -> int:
    """The icon's number, of a picture file that stays as it is."""
    assert _files is not None
    name = str(path)
    if name not in _files:
        _files.load(name, name, "IMAGE")
    return int(_files[name].icon_id)


def register() -> None:
    global _newest, _files
    _newest, _files = bpy.utils.previews.new(), bpy.utils.previews.new()


def unregister() -> None:
    global _newest, _files
    for icons in (_newest, _files):
        bpy.utils.previews.remove(icons)
    _newest = _files = None
