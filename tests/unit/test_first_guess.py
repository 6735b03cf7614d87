from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import trimesh
from shapes_in_view import chequered_colour, sphere, views_of
from unocclude.cameras import target_cameras
from unocclude.pipeline.first_guess import PhotoConsistency, first_guess, smooth_colours
from unocclude.pipeline.hull import Silhouettes, VisualHull
from unocclude.pipeline.meshing import Grid
from unocclude.pipeline.types import ViewSet

GRID = Grid.around(np.full(3, -0.5), np.full(3, 0.5), 40**3)


def can() -> trimesh.Trimesh:
    return trimesh.creation.cylinder(0.35, 0.6)


def cup() -> trimesh.Trimesh:
    """The can, hollow, with a floor of a tenth."""
    return trimesh.creation.revolve([(0, -0.3), (0.35, -0.3), (0.35, 0.3), (0.3, 0.3), (0.3, -0.2), (0, -0.2)])


def hull_of(views: ViewSet) -> np.ndarray:
    return VisualHull.of(Silhouettes.of(views)).distance(GRID)


def inside(sdf: np.ndarray, x: float, y: float, z: float) -> bool:
    place = np.rint((np.array([x, y, z]) - GRID.origin) / GRID.voxel).astype(int)
    return bool(sdf[tuple(place)] < 0)


def test_the_cone_above_a_lid_is_levelled() -> None:
    views = views_of(can(), chequered_colour)
    hull = hull_of(views)
    guess = first_guess(hull, GRID, views).sdf
    assert inside(hull, 0, 0, 0.36)
    assert not inside(guess, 0, 0, 0.36)
    assert inside(guess, 0, 0, 0.2)


def test_a_cup_is_hollow_and_has_walls_and_a_floor() -> None:
    views = views_of(cup(), chequered_colour)
    hull = hull_of(views)
    guess = first_guess(hull, GRID, views).sdf
    assert inside(hull, 0, 0, 0.2)
    assert not inside(guess, 0, 0, 0.2)
    assert not inside(guess, 0.2, 0, 0.1)
    assert inside(guess, 0.33, 0, 0)
    assert inside(guess, 0, 0, -0.27)


def told(views: ViewSet, empty: Callable[[np.ndarray], np.ndarray]) -> ViewSet:
    """The views, and what of the points (n, n, n, 3) in the cube is told to be hollow."""
    points = Grid.around(np.full(3, -0.5), np.full(3, 0.5), 32**3).points()
    return ViewSet(views.rgba, np.where(empty(points), 3.0, -3.0).astype(np.float32).transpose(2, 1, 0))


def above(points: np.ndarray) -> np.ndarray:
    return points[..., 2] > 0.3


def grey(points: np.ndarray) -> np.ndarray:
    return np.full((len(points), 3), 128.0)


def test_a_hollow_that_is_told_is_taken_though_the_colours_tell_nothing() -> None:
    views = views_of(cup(), grey)
    hull = hull_of(views)
    guess = first_guess(hull, GRID, told(views, lambda p: p[..., 2] > 0.1)).sdf
    assert inside(first_guess(hull, GRID, views).sdf, 0, 0, 0.25)
    assert not inside(guess, 0, 0, 0.25)
    assert not inside(guess, 0.25, 0, 0.15)
    assert not inside(guess, 0, 0, 0.36), "nor is the cone above the rim left"
    assert inside(guess, 0.34, 0, 0.2), "the wall, though it is told to be hollow"
    assert inside(guess, 0, 0, 0)


def test_a_hollow_keeps_the_neck_above_it() -> None:
    """The rim is where the cone begins that outlines leave above an opening, however narrow that is."""
    outside = [(0, -0.4), (0.3, -0.4), (0.3, 0.05), (0.15, 0.15), (0.15, 0.4)]
    within = [(0.1, 0.4), (0.1, 0.12), (0.25, 0), (0.25, -0.35), (0, -0.35)]
    views = views_of(trimesh.creation.revolve(outside + within), grey)
    hull = hull_of(views)
    guess = first_guess(hull, GRID, told(views, lambda p: p[..., 2] > -0.35)).sdf
    assert inside(guess, 0.14, 0, 0.36), "the neck's wall"
    assert not inside(guess, 0, 0, 0.36)
    assert not inside(guess, 0, 0, 0.45), "the cone"
    assert not inside(guess, 0, 0, -0.2)
    assert inside(guess, 0.29, 0, -0.2)
    assert inside(guess, 0, 0, -0.395)


def test_what_is_to_stay_empty_is_the_same_on_another_lattice() -> None:
    views = views_of(cup(), grey)
    finer = Grid.around(np.full(3, -0.4), np.full(3, 0.4), 50**3)
    guess = first_guess(hull_of(views), GRID, told(views, lambda p: p[..., 2] > 0.1))
    kept = guess.kept_empty(finer)
    assert isinstance(kept, np.ndarray)
    x, y, z = np.moveaxis(finer.points(), -1, 0)
    across = np.hypot(x, y)
    assert (kept[(across < 0.25) & (z > 0.18) & (z < 0.28)] > 0).all()
    assert (kept[(across > 0.34) | (z < 0.05)] < 0).all()
    assert first_guess(hull_of(views), GRID, views).kept_empty(finer) == -np.inf


def test_emptiness_that_no_rim_encloses_is_no_hollow() -> None:
    """The space between legs, say."""
    views = views_of(can(), chequered_colour)
    hull = hull_of(views)
    below = told(views, lambda p: above(p) | (p[..., 2] < -0.1))
    np.testing.assert_array_equal(first_guess(hull, GRID, below).sdf, first_guess(hull, GRID, views).sdf)


def test_what_is_told_to_be_solid_is_judged_by_its_colours() -> None:
    views = views_of(can(), chequered_colour)
    hull = hull_of(views)
    np.testing.assert_array_equal(first_guess(hull, GRID, told(views, above)).sdf, first_guess(hull, GRID, views).sdf)


def test_what_the_outlines_tell_already_stays() -> None:
    views = views_of(sphere(), chequered_colour)
    hull = hull_of(views)
    np.testing.assert_array_equal(first_guess(hull, GRID, views).sdf, hull)


def test_colours_disagree_least_on_the_true_surface() -> None:
    consistency = PhotoConsistency.of(views_of(sphere(0.35), chequered_colour), GRID)
    radius = np.linalg.norm(GRID.points(), axis=-1)
    smaller, true, larger = (consistency.disagreement(radius - r) for r in (0.3, 0.35, 0.4))
    assert true < 0.6 * min(smaller, larger)


def test_a_shape_that_is_not_there_disagrees_wholly() -> None:
    consistency = PhotoConsistency.of(views_of(sphere()), GRID)
    assert consistency.disagreement(np.ones(GRID.shape, np.float32)) == pytest.approx(40)


def test_views_that_show_nothing_are_left_out() -> None:
    views = views_of(sphere(), chequered_colour)
    rgba = views.rgba.copy()
    rgba[4] = 0
    consistency = PhotoConsistency.of(ViewSet(rgba), GRID)
    assert len(consistency.views) == len(target_cameras()) - 1


def test_smoothing_lets_no_background_in() -> None:
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[:, :16] = (200, 100, 50, 255)
    np.testing.assert_allclose(smooth_colours(picture, 2.0)[:, :16], np.broadcast_to([200, 100, 50], (32, 16, 3)), 1e-4)
