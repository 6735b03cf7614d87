"""The brush on the mask, and the mask as a picture file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Picture

from addon.core.png import read_mask, write_mask
from addon.core.silhouette import Silhouette
from addon.core.strokes import Painting, Stroke, nothing, painted, places_from_text, places_to_text

WIDTH, HEIGHT = 70, 50


def pixels(rows: Silhouette) -> np.ndarray:
    return np.array([[row >> x & 1 for x in range(WIDTH)] for row in rows], bool)


def paint(*strokes: Stroke, on: Silhouette | None = None) -> np.ndarray:
    painting = Painting(strokes, (WIDTH, HEIGHT))
    return pixels(painted(nothing(painting) if on is None else on, painting))


def distance(x: float, y: float) -> np.ndarray:
    """Of each pixel's centre from this place."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.hypot(columns - x, rows - y)


def test_a_click_is_a_disc() -> None:
    assert np.array_equal(paint(Stroke(((30.2, 20.7),), 8.3)), distance(30.2, 20.7) <= 8.3)


def test_a_stroke_has_no_gaps() -> None:
    """All pixels that are nearer to the path than nearly the radius, and none that is further."""
    drawn = paint(Stroke(((10, 10), (60, 40)), 5))
    along = np.min([distance(10 + 50 * t, 10 + 30 * t) for t in np.linspace(0, 1, 500)], axis=0)
    assert drawn[along <= 4.9].all()
    assert not drawn[along > 5].any()


def test_later_strokes_go_over_earlier_ones_and_the_border_cuts_them() -> None:
    add, take = Stroke(((0, 0),), 20), Stroke(((0, 0),), 10, erase=True)
    ring = (distance(0, 0) <= 20) & (distance(0, 0) > 10)
    assert np.array_equal(paint(add, take), ring)
    assert np.array_equal(paint(take, add), distance(0, 0) <= 20)
    assert not paint(Stroke(((-30, -30), (200, -30)), 20)).any()


def test_a_further_stroke_goes_over_what_is_painted() -> None:
    one, two = Stroke(((10, 10), (60, 10)), 5), Stroke(((30, 0), (30, 40)), 4, erase=True)
    before, now = Painting((one,), (WIDTH, HEIGHT)), Painting((one, two), (WIDTH, HEIGHT))
    assert now.goes_on_from(before)
    assert not before.goes_on_from(now)
    assert not now.goes_on_from(Painting((two,), (WIDTH, HEIGHT)))
    assert painted(painted(nothing(now), before), now.after(before)) == painted(nothing(now), now)


def test_places_survive_as_text() -> None:
    assert places_from_text(places_to_text([(1, 2.25), (-3.5, 1000)])) == ((1, 2.2), (-3.5, 1000))
    assert places_from_text("") == ()
    with pytest.raises(ValueError, match="could not convert"):
        places_from_text("a,b")


def test_a_mask_survives_as_png() -> None:
    rows = painted([0] * HEIGHT, Painting((Stroke(((69, 49), (3, 3)), 6),), (WIDTH, HEIGHT)))
    file = write_mask(rows, WIDTH)
    assert read_mask(file) == (rows, WIDTH, HEIGHT)
    assert np.array_equal(np.asarray(Picture.open(io.BytesIO(file))), 255 * pixels(rows).astype(np.uint8))
