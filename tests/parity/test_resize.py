"""Pictures at other sizes against what pix2gestalt's application makes of them.

The frame differs on purpose: the application squeezes the whole picture into a square, here a square around the object
is cut out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from golden_files import Golden, cases
from unocclude.pipeline.resampling import by_area, by_lanczos


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    """At most one level apart, and that for less than 0.5 % of the values."""
    difference = np.abs(found.astype(int) - expected)
    return bool(difference.max() <= 1 and (difference > 0).mean() < 0.005)


def test_pictures_for_the_network(pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("resize")
    for case in cases(stored, ".image_u8"):
        picture, expected = stored[f"{case}.image_u8"].numpy(), stored[f"{case}.to256_area_u8"].numpy()
        assert close(by_area(picture, 256, 256), expected), case
        assert not close(by_lanczos(picture, 256, 256), expected), case


def test_completions_at_the_photographs_size(pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("resize")
    completion = stored["completion256_u8"].numpy()
    opaque = np.dstack([completion, np.full(completion.shape[:2], 255, np.uint8)])
    for case in cases(stored, ".completion_back_lanczos4_u8"):
        expected = stored[f"{case}.completion_back_lanczos4_u8"].numpy()
        assert close(by_lanczos(completion, *expected.shape[:2]), expected), case
        assert np.abs(by_lanczos(opaque, *expected.shape[:2])[..., :3].astype(int) - expected).max() <= 1, case
        assert not close(by_area(completion, *expected.shape[:2]), expected), case


def test_masks_at_the_photographs_size(pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("resize")
    for case in cases(stored, ".mask_back"):
        expected = stored[f"{case}.mask_back"].numpy()
        found = by_area(stored["mask256_u8"].numpy(), *expected.shape) > 127
        assert np.array_equal(found, expected > 0), case


@pytest.mark.parametrize("resample", [by_area, by_lanczos])
def test_colours_keep_clear_of_what_is_transparent(resample: Callable[..., np.ndarray]) -> None:
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[:8] = (200, 100, 50, 255)
    for size in (8, 40):
        found = resample(picture, size, size)
        seen = found[..., 3] > 20
        assert np.abs(found[seen][:, :3].astype(int) - (200, 100, 50)).max() <= 2
        assert found[-1, :, 3].max() == 0
        assert found[0, :, 3].min() == 255
