from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy import ndimage
from unocclude.errors import UnoccludeError
from unocclude.pipeline.meshing import Grid, extract_surface, is_watertight
from unocclude.pipeline.types import Surface

GRID = Grid.around(np.full(3, -0.6), np.full(3, 0.6), 60**3)


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    return (np.linalg.norm(GRID.points() - np.float32(centre), axis=-1) - radius).astype(np.float32)


def check(surface: Surface) -> trimesh.Trimesh:
    """Closed, wound outward, in one piece, inside the cube."""
    assert is_watertight(surface)
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    assert mesh.volume > 0
    assert mesh.body_count == 1
    assert np.abs(surface.vertices).max() <= 0.5
    return mesh


def test_grid_covers_its_box_with_about_the_points_asked_for() -> None:
    grid = Grid.around(np.array([-0.5, -0.2, -0.1]), np.array([0.5, 0.2, 0.1]), 40_000)
    assert (grid.origin <= [-0.5, -0.2, -0.1]).all()
    assert (grid.high >= [0.5, 0.2, 0.1]).all()
    assert 0.8 < np.prod(grid.shape) / 40_000 < 1.4
    np.testing.assert_allclose(grid.points()[-1, -1, -1], grid.high, rtol=1e-6)


def test_a_ball_comes_out_as_a_ball() -> None:
    mesh = check(extract_surface(ball((0, 0, 0), 0.4), GRID, 6_000))
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.01)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 0.4, atol=0.004)


@pytest.mark.parametrize("target", [2_000, 8_000])
def test_simplification_reaches_its_target_and_stays_closed(target: int) -> None:
    mesh = check(extract_surface(ball((0.05, 0, 0), 0.35), GRID, target))
    assert len(mesh.faces) <= target * 1.05


def test_loose_parts_and_hollows_are_dropped() -> None:
    hollow = np.maximum(ball((0, 0, 0), 0.35), -ball((0, 0, 0), 0.2))
    sdf = np.minimum(hollow, ball((0.45, 0.45, 0.45), 0.05))
    mesh = check(extract_surface(sdf, GRID, 6_000))
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.35**3, rel=0.02)
    assert mesh.vertices.max() < 0.37


def test_what_leaves_the_cube_is_closed_at_its_side() -> None:
    mesh = check(extract_surface(ball((0.3, 0, 0), 0.4), GRID, 6_000))
    assert mesh.vertices[:, 0].max() == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize(("target", "reached"), [(500, False), (16_000, True)])
def test_noise_stays_closed_and_keeps_its_holes_however_few_faces_are_asked_for(target: int, reached: bool) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=GRID.shape), 1.5).astype(np.float32)
    mesh = check(extract_surface(noise, GRID, target))
    assert (len(mesh.faces) <= target) == reached
    assert mesh.euler_number == check(extract_surface(noise, GRID, 1_000_000)).euler_number


def test_nothing_inside_is_an_error() -> None:
    with pytest.raises(UnoccludeError, match="no solid"):
        extract_surface(np.ones(GRID.shape, np.float32), GRID, 2_000)
