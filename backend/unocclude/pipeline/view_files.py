"""Sixteen view pictures from a folder: checked, and cut out of their white background where they have no alpha."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError
from scipy import ndimage

from unocclude.cameras import VIEW_COUNT, VIEW_SIZE
from unocclude.errors import InputError
from unocclude.pipeline.types import Image, Mask, ViewSet

WHITE = 240
"""Darker than this in any channel is foreground (predicted backgrounds are near-white, not white)."""
MIN_FOREGROUND = 0.002
"""The smallest share of a view that an object may fill."""


def load_views(folder: Path) -> tuple[ViewSet, list[str]]:
    """The views 000.png to 015.png of a folder, and warnings about single views that show nothing.

    RGBA pictures keep their alpha; RGB ones are cut out of their white background.
    Raises InputError for missing or unreadable files, wrong or different sizes, and when most views are empty.
    """
    paths = [folder / f"{i:03d}.png" for i in range(VIEW_COUNT)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of the {VIEW_COUNT} views: {', '.join(missing)}.",
            "Put 000.png to 015.png there: azimuth 22.5 degrees apart, elevation 30 degrees.",
        )
    views = np.stack([_read(path) for path in paths])
    empty = [path.name for path, view in zip(paths, views, strict=True) if (view[..., 3] > 127).mean() < MIN_FOREGROUND]
    if len(empty) > VIEW_COUNT // 4:
        raise InputError(
            f"{len(empty)} of the {VIEW_COUNT} views in {folder} show no object: {', '.join(empty)}.",
            "Give views of one object on a white or transparent background.",
        )
    return ViewSet(views), [f"View {name} shows no object and is left out." for name in empty]


def foreground(rgb: Image) -> Mask:
    """The largest thing in an (H, W, 3) picture on near-white, its holes filled."""
    coloured = ndimage.binary_opening(rgb.min(-1) < WHITE)
    labels, count = ndimage.label(coloured)
    if count == 0:
        return coloured
    largest = 1 + int(np.argmax(ndimage.sum_labels(coloured, labels, np.arange(1, count + 1))))
    return ndimage.binary_fill_holes(labels == largest)


def _read(path: Path) -> Image:
    """(256, 256, 4) uint8."""
    try:
        with PillowImage.open(path) as picture:
            transparent = "A" in picture.getbands() or "transparency" in picture.info
            rgba = np.array(picture.convert("RGBA"))
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}).", "Give PNG files.") from error
    if rgba.shape[:2] != (VIEW_SIZE, VIEW_SIZE):
        raise InputError(
            f"{path} is {rgba.shape[1]} x {rgba.shape[0]} pixels, not {VIEW_SIZE} x {VIEW_SIZE}.",
            f"Resize all views to {VIEW_SIZE} x {VIEW_SIZE}.",
        )
    if not transparent or rgba[..., 3].min() == 255:
        rgba[..., 3] = foreground(rgba[..., :3]) * np.uint8(255)
    return rgba
