"""Simulated artists: where people click and draw boxes, given the mask they have in mind.

Masks are (h, w) bool on a coarse grid of `cell` image pixels. Answers are in image pixels, x right, y down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unocclude.pipeline.types import Mask

Point = tuple[float, float]


def click_inside(rng: np.random.Generator, mask: Mask, cell: int, central: bool) -> Point:
    """Anywhere inside the mask or, if `central`, where it is widest: people aim for the middle of a thing."""
    depth = _depth(mask)
    candidates = np.flatnonzero(depth >= (0.75 * depth.max() if central else 1))
    return _within_cell(rng, mask, candidates, cell)


def corrective_click(rng: np.random.Generator, drawn: Mask, wanted: Mask, cell: int) -> tuple[Point, bool]:
    """In the middle of the widest error, and whether it says "this too". A perfect mask gets one more click inside."""
    missed, excess = wanted & ~drawn, drawn & ~wanted
    if not missed.any() and not excess.any():
        return click_inside(rng, wanted, cell, central=False), True
    adds = _depth(missed).max() >= _depth(excess).max()
    return click_inside(rng, missed if adds else excess, cell, central=True), bool(adds)


def loose_box(rng: np.random.Generator, mask: Mask, cell: int) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) around the mask, each side off by up to a tenth of the box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = cell * np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
    slack = 0.1 * np.tile(box[2:] - box[:2], 2)
    left, top, right, bottom = np.clip(box + slack * rng.uniform(-1, 1, 4), 0, cell * max(mask.shape))
    return left, top, right, bottom


def _depth(mask: Mask) -> NDArray[np.float64]:
    """Distance to the nearest cell outside the mask; the picture's border counts as outside."""
    return ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]


def _within_cell(rng: np.random.Generator, mask: Mask, candidates: NDArray[np.int64], cell: int) -> Point:
    row, column = np.unravel_index(rng.choice(candidates), mask.shape)
    x, y = (np.array([column, row]) + rng.uniform(0, 1, 2)) * cell
    return float(x) - 0.5, float(y) - 0.5
