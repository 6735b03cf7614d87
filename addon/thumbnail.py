"""The picture of what the backend is working on, as an icon for the panel."""

from __future__ import annotations

import hashlib
from pathlib import Path

import bpy
import bpy.utils.previews
from bpy.utils.previews import ImagePreviewCollection

_icons: ImagePreviewCollection | None = None


def icon_of(png: bytes) -> int:
    """The icon's number. Only the newest picture is kept."""
    assert _icons is not None
    name = hashlib.sha256(png).hexdigest()
    if name not in _icons:
        path = Path(bpy.app.tempdir) / "unocclude-preview.png"
        path.write_bytes(png)
        _icons.clear()
        preview = _icons.load(name, str(path), "IMAGE")
        tuple(preview.image_size)  # reads the file now, before the next picture replaces it
    return int(_icons[name].icon_id)


def register() -> None:
    global _icons
    _icons = bpy.utils.previews.new()


def unregister() -> None:
    global _icons
    bpy.utils.previews.remove(_icons)
    _icons = None
