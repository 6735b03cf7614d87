"""Between the image's pixels and the square that the models see."""

from __future__ import annotations

import numpy as np

from unocclude.errors import InputError
from unocclude.pipeline.resampling import by_area
from unocclude.pipeline.types import Crop, Image, Mask

MARGIN = 0.7
"""How much larger than the visible part's bounding box the square is: room for what is hidden."""


def crop_around(visible: Mask, margin: float = MARGIN, size: int = 256) -> Crop:
    """The square about the visible part; it may reach beyond the image. Raises InputError for an empty mask."""
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if not len(rows):
        raise InputError("The mask of the visible part is empty.", "Click on the object, or paint its visible part.")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(round(float(max(bottom - top, right - left)) * (1 + margin)), 16)
    return Crop(round(float(left + right - side) / 2), round(float(top + bottom - side) / 2), side, size)


def cut(image: Image, crop: Crop) -> Image:
    """The square at model size, (size, size, C). Beyond the image its border pixels are repeated."""
    height, width = image.shape[:2]
    rows = np.clip(np.arange(crop.top, crop.top + crop.side), 0, height - 1)
    columns = np.clip(np.arange(crop.left, crop.left + crop.side), 0, width - 1)
    return by_area(image[rows][:, columns], crop.size, crop.size)


def cut_mask(mask: Mask, crop: Crop) -> Mask:
    """As `cut`, for a mask; beyond the image it is empty."""
    padded = np.zeros((crop.side, crop.side), np.uint8)
    inside, source = _overlap(crop, mask.shape)
    padded[inside] = 255 * mask[source].astype(np.uint8)
    return by_area(padded, crop.size, crop.size) > 127


def uncut(picture: Image, crop: Crop, shape: tuple[int, int]) -> Image:
    """A model-size picture (size, size[, C]) back on a canvas of the image's (height, width), 0 elsewhere."""
    canvas = np.zeros((*shape, *picture.shape[2:]), np.uint8)
    inside, target = _overlap(crop, shape)
    canvas[target] = by_area(picture, crop.side, crop.side)[inside]
    return canvas


def inside(crop: Crop, shape: tuple[int, int]) -> Mask:
    """(height, width) of the image: what of it lies in the square."""
    mask = np.zeros(shape, bool)
    mask[_overlap(crop, shape)[1]] = True
    return mask


def _overlap(crop: Crop, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """(the crop's own rows and columns, the image's) where the square and the image overlap."""
    y0, y1 = max(crop.top, 0), min(crop.top + crop.side, shape[0])
    x0, x1 = max(crop.left, 0), min(crop.left + crop.side, shape[1])
    return (
        (slice(y0 - crop.top, y1 - crop.top), slice(x0 - crop.left, x1 - crop.left)),
        (slice(y0, y1), slice(x0, x1)),
    )
