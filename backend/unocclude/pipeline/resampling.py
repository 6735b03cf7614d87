"""Pictures at other sizes, by the filters of pix2gestalt's application, which are OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np

from unocclude.pipeline.types import Image


def by_area(picture: Image, height: int, width: int) -> Image:
    """For what the networks are to see: averages of areas, or, where it is enlarged in any direction, linear.

    (H, W[, C]) to (height, width[, C]), uint8. RGBA is resampled with its colours weighted by alpha, here and below.
    """
    return _resampled(picture, height, width, cv2.INTER_AREA)


def by_lanczos(picture: Image, height: int, width: int) -> Image:
    """For what the networks drew: Lanczos over eight by eight pixels, which keeps edges sharp when enlarging."""
    return _resampled(picture, height, width, cv2.INTER_LANCZOS4)


def _resampled(picture: Image, height: int, width: int, kind: int) -> Image:
    if picture.shape[:2] == (height, width):
        return picture
    if picture.ndim == 2 or picture.shape[2] != 4:
        return np.asarray(cv2.resize(picture, (width, height), interpolation=kind), np.uint8)
    weighted = picture.astype(np.float32)
    weighted[..., :3] *= weighted[..., 3:] / 255
    values = cv2.resize(weighted, (width, height), interpolation=kind)
    alpha = np.clip(values[..., 3:], 0, 255)
    colour = values[..., :3] * (255 / np.maximum(values[..., 3:], 1e-3)) * (alpha > 0)
    return np.concatenate([np.rint(colour.clip(0, 255)), np.rint(alpha)], axis=-1).astype(np.uint8)
