"""Rough masks are drawn to the edges of the colours, and the artist's word is law."""

from __future__ import annotations

import numpy as np
import pytest
from unocclude.pipeline.colour_cut import cut_by_colour
from unocclude.pipeline.types import Image, Mask

ROWS, COLUMNS = np.mgrid[:128, :128]
NOWHERE = np.zeros((0, 2))
DISC: Mask = (ROWS - 70) ** 2 + (COLUMNS - 60) ** 2 < 30**2
SQUARE: Mask = (abs(ROWS - 20) < 12) & (abs(COLUMNS - 100) < 12)


@pytest.fixture
def picture() -> Image:
    """A red disc and a red square on a grainy blue wall."""
    image = np.where((DISC | SQUARE)[..., None], (200, 60, 50), (60, 80, 140))
    grain = np.random.default_rng(0).normal(0, 6, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def opinion(mask: Mask) -> np.ndarray:
    return np.where(mask, 0.7, 0.3).astype(np.float32)


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_a_rough_opinion_becomes_the_object(picture: Image) -> None:
    rough: Mask = (abs(ROWS - 64) < 30) & (abs(COLUMNS - 66) < 30)
    sure_wall = opinion(rough)
    sure_wall[SQUARE] = 0.0
    cut = cut_by_colour(picture, sure_wall, np.array([[60.0, 70.0]]), NOWHERE)
    assert iou(rough, DISC) < 0.7
    assert iou(cut, DISC) > 0.97
    assert np.array_equal(cut, cut_by_colour(picture, sure_wall, np.array([[60.0, 70.0]]), NOWHERE))


def test_clicks_and_boxes_are_certain(picture: Image) -> None:
    both = opinion(DISC | SQUARE)
    assert cut_by_colour(picture, both, NOWHERE, NOWHERE)[20, 100]
    assert not cut_by_colour(picture, both, NOWHERE, np.array([[100.0, 20.0]]))[20, 100]
    boxed = cut_by_colour(picture, both, NOWHERE, NOWHERE, box=np.array([28.0, 38.0, 92.0, 102.0]))
    assert not (boxed & SQUARE).any()
    assert iou(boxed, DISC) > 0.97


def test_where_there_is_nothing_to_compare_the_opinion_stands(picture: Image) -> None:
    everything = np.ones((128, 128), np.float32)
    assert cut_by_colour(picture, everything, NOWHERE, NOWHERE).all()


def test_an_object_of_its_background_s_colour_does_not_vanish() -> None:
    grey = np.full((128, 128, 3), 120, np.uint8)
    grey[::2, ::2] = 122
    weak = np.where(DISC, 0.51, 0.05).astype(np.float32)
    assert cut_by_colour(grey, weak, NOWHERE, NOWHERE).any()
