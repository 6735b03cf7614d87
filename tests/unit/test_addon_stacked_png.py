"""Pictures that are put together of strips."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Picture

from addon.core.png import png_file
from addon.core.stacked_png import stacked


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L", "LA"])
def test_strips_become_the_picture_that_they_were(mode: str) -> None:
    random = np.random.default_rng(0)
    whole = Picture.fromarray(random.integers(0, 256, (47, 30, 4), np.uint8)).convert(mode)
    strips = [whole.crop((0, top, 30, min(top + 10, 47))) for top in range(0, 47, 10)]
    again = Picture.open(io.BytesIO(stacked([_png(strip) for strip in strips])))
    again.load()
    assert (again.mode, again.size) == (mode, whole.size)
    assert again.tobytes() == whole.tobytes()


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("depth", [8, 16])
def test_whatever_filter_a_strip_begins_with(kind: int, depth: int) -> None:
    """The second strip's only row is filtered in this way, with nothing but zeros above it."""
    width, pixel = 7, 3 * depth // 8
    row = np.random.default_rng(kind).integers(0, 256, width * pixel, np.uint8)
    left = np.concatenate([np.zeros(pixel, np.uint8), row[:-pixel]])
    guess = {0: 0 * row, 1: left, 2: 0 * row, 3: left // 2, 4: left}[kind]
    header = struct.pack(">IIBBBBB", width, 1, depth, 2, 0, 0, 0)
    strips = [
        png_file(header, zlib.compress(bytes([kind, *line]))) for kind, line in ((0, row[::-1]), (kind, row - guess))
    ]
    packed = stacked(strips)
    expected = struct.pack(">IIBBBBB", width, 2, depth, 2, 0, 0, 0)
    Picture.open(io.BytesIO(packed)).verify()
    plain = png_file(expected, zlib.compress(bytes([0, *row[::-1], 0, *row])))
    assert _pixels(packed) == _pixels(plain)


def _png(picture: Picture.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _pixels(file: bytes) -> bytes:
    return Picture.open(io.BytesIO(file)).tobytes()
