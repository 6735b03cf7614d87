"""The table of `evaluate occlusion`: means by way, over the scenes in which that way found an object."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("skimage", reason="evaluation needs the `train` extra")

from unocclude.evaluation.occlusion import Rebuilt, Row, _as_text, _compared, _means
from unocclude.pipeline.types import ViewSet


def test_means_leave_out_what_was_not_found_and_open_meshes() -> None:
    good, open_mesh = Rebuilt(0.9, 20.0, 0.8, 0.02, 0.6), Rebuilt(0.7, 10.0, 0.4, 0.04, math.nan)
    rows = [
        Row("can/scene_0", 0.6, 0.9, 0.8, {"click": good, "mask": good}),
        Row("can/scene_1", 0.4, 0.7, 0.0, {"click": None, "mask": open_mesh}),
    ]
    table = _means(rows)
    assert table["masks"] == pytest.approx({"visible_alone": 0.5, "best_of_3": 0.8, "click_iou": 0.4})
    assert table["click"]["found"] == 0.5
    assert table["click"]["psnr"] == 20.0
    assert table["mask"] == pytest.approx(
        {"found": 1.0, "mask_iou": 0.8, "psnr": 15.0, "ssim": 0.6, "chamfer": 0.03, "iou": 0.6}
    )
    assert "2 scenes" in _as_text(table, rows)


def test_views_are_compared_over_white() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 256, (16, 32, 32, 4)).astype(np.uint8)
    hidden = true.copy()
    hidden[..., :3] = np.where(true[..., 3:] == 0, 77, true[..., :3])  # the colour of what is not there
    assert _compared(ViewSet(hidden), ViewSet(true)) == pytest.approx((100.0, 1.0))
    darker = true.copy()
    darker[..., 3] = 255
    darker[..., :3] = 0
    psnr, ssim = _compared(ViewSet(darker), ViewSet(true))
    assert psnr < 10
    assert ssim < 0.2
