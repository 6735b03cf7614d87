"""Shrinking pictures for the models against OpenCV's INTER_AREA, which pix2gestalt's application uses.

Enlarging differs on purpose: it is bicubic here. And so does the frame: the application squeezes the whole picture
into a square, here a square around the object is cut out.
"""

from __future__ import annotations

import numpy as np
from golden_files import Golden
from PIL import Image
from unocclude.pipeline.crop import resized


def test_shrinking_averages_areas(pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("resize")
    picture, expected = stored["270x360.image_u8"].numpy(), stored["270x360.to256_area_u8"].numpy()
    assert np.abs(resized(picture, 256).astype(int) - expected).max() <= 1
    assert (resized(picture, 256) != expected).mean() < 0.001
    interpolated = Image.fromarray(picture).resize((256, 256), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(interpolated).astype(int) - expected).max() > 1


def test_shrinking_keeps_colours_clear_of_what_is_transparent() -> None:
    picture = np.zeros((6, 6, 4), np.uint8)
    picture[::2] = (200, 100, 50, 255)
    assert (resized(picture, 3) == (200, 100, 50, 128)).all()
