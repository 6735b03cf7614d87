"""From a Blender image to the picture file that the backend gets."""

from __future__ import annotations

import tempfile
from array import array
from pathlib import Path

import bpy
from bpy.types import Image

from .wire.errors import InputError

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""How PNG and JPEG files begin."""


def picture_file(image: Image) -> bytes:
    """The image as the bytes of a PNG or JPEG file. Main thread only.

    An image that is such a file, on disk or packed, and was not changed since, travels as it is. Any other is
    written as an 8-bit PNG, in sRGB if it is scene-linear. Raises InputError where it has no pixels.
    """
    if image.source == "FILE" and not image.is_dirty:
        original = _original(image)
        if original.startswith(_SIGNATURES):
            return original
    if not image.has_data and not _load(image):
        raise InputError(
            f"The image {image.name} has no pixels that can be read.",
            "Choose an image file; save a render or a movie frame as an image first.",
        )
    return _as_png(image)


def _original(image: Image) -> bytes:
    """The file that the image was read from, empty where it is gone."""
    if image.packed_file is not None:
        return bytes(image.packed_file.data)
    path = Path(bpy.path.abspath(image.filepath_raw, library=image.library))
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _load(image: Image) -> bool:
    """Blender reads an image only when somebody asks for its pixels."""
    return len(image.pixels) > 0


def _as_png(image: Image) -> bytes:
    """Through a copy of the pixels, because saving the image itself would change what it is."""
    width, height = image.size
    pixels = array("f", bytes(16 * width * height))
    image.pixels.foreach_get(pixels)
    copy = bpy.data.images.new("Unocclude", width, height, alpha=True, float_buffer=image.is_float)
    try:
        copy.colorspace_settings.name = image.colorspace_settings.name
        copy.pixels.foreach_set(pixels)
        with tempfile.TemporaryDirectory(prefix="unocclude-") as folder:
            path = Path(folder) / "picture.png"
            copy.filepath_raw = str(path)
            copy.file_format = "PNG"
            copy.save()
            return path.read_bytes()
    finally:
        bpy.data.images.remove(copy)
