"""From a Blender image to the picture file that the backend gets, without holding up Blender.

Only the main thread may write an image, so that it is done in strips, one at each tick of a timer; a thread puts them
together.
"""

from __future__ import annotations

import tempfile
import threading
from array import array
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeAlias

import bpy
from bpy.types import Image

from .core.link import with_cure
from .core.stacked_png import stacked
from .wire.errors import InputError

PictureFile: TypeAlias = Callable[[], bytes]
"""Gives the file's bytes, the same object each time. Other threads than the main one may have to wait for them."""
STRIP = 1 << 15
"""Pixels that are written at once, which takes about ten milliseconds."""
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""How PNG and JPEG files begin."""


def picture_file(image: Image) -> PictureFile:
    """The image as it is now, as a PNG or JPEG file. Main thread only.

    An image that is such a file, on disk or packed, and was not changed since, travels as it is. Any other is
    written as a PNG, in sRGB if it is scene-linear. Raises InputError where it has no pixels.
    """
    if image.source == "FILE" and not image.is_dirty:
        original = _original(image)
        if original.startswith(_SIGNATURES):
            return lambda: original
    if not image.has_data and not _load(image):
        raise InputError(
            f"The image {image.name} has no pixels that can be read.",
            "Choose an image file; save a render or a movie frame as an image first.",
        )
    writing = Writing(image)
    _under_way.append(writing)
    if bpy.app.background:  # there, timers do not run
        finish()
    elif not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=0.0, persistent=True)
    return writing.file.result


def tick() -> float | None:
    """Write one strip. Returns the seconds until the next one, None where nothing is left to write."""
    if _under_way and not _under_way[0].go_on():
        del _under_way[0]
    return 0.0 if _under_way else None


def finish() -> None:
    """Write all that is left to write, before the main thread waits for somebody who waits for it."""
    while tick() is not None:
        pass
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)


class Writing:
    """An image on its way into a file. Nothing of it is needed once this is made."""

    def __init__(self, image: Image) -> None:
        self.file: Future[bytes] = Future()
        self._width, self._rows_left = image.size
        self._is_float = image.is_float
        self._colour_space = image.colorspace_settings.name
        self._pixels = array("f", [0.0]) * (4 * self._width * self._rows_left)
        if len(image.pixels) != len(self._pixels):
            raise InputError(
                f"The image {image.name} has {image.channels} channels, not red, green, blue and alpha.",
                "Save it as a PNG file and open that.",
            )
        image.pixels.foreach_get(self._pixels)
        self._strips: list[bytes] = []

    def go_on(self) -> bool:
        """Write one more strip, from the picture's top, which Blender keeps last. False after the end."""
        try:
            rows = min(self._rows_left, max(1, STRIP // self._width))
            self._rows_left -= rows
            first = 4 * self._width * self._rows_left
            self._strips.append(self._strip(self._pixels[first : first + 4 * self._width * rows], rows))
        except Exception as error:
            self.file.set_exception(
                InputError(f"The image could not be written ({error}).", "Make room on the disk, or save it as a PNG.")
            )
            return False
        if self._rows_left == 0:
            threading.Thread(target=self._put_together, daemon=True).start()
        return self._rows_left > 0

    def _strip(self, pixels: array[float], rows: int) -> bytes:
        """Through an image of its own, because saving the image itself would change what it is."""
        copy = bpy.data.images.new("Unocclude", self._width, rows, alpha=True, float_buffer=self._is_float)
        try:
            copy.colorspace_settings.name = self._colour_space
            copy.pixels.foreach_set(pixels)
            with tempfile.TemporaryDirectory(prefix="unocclude-") as folder:
                path = Path(folder) / "strip.png"
                copy.filepath_raw = str(path)
                copy.file_format = "PNG"
                copy.save()
                return path.read_bytes()
        finally:
            bpy.data.images.remove(copy)

    def _put_together(self) -> None:
        try:
            self.file.set_result(stacked(self._strips))
        except Exception as error:
            self.file.set_exception(with_cure(error))


_under_way: list[Writing] = []
"""The first one is being written."""


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
