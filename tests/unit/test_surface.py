from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from scipy import ndimage
from shapes_in_view import box, chequered_colour, position_colour, sphere, views_of
from unocclude.cameras import target_cameras
from unocclude.errors import Cancelled, InputError
from unocclude.evaluation.geometry import inside_voxels, volume_iou
from unocclude.models.neus import NeuralSurface, place_samples, render, section_weights
from unocclude.pipeline import surface as surface_stage
from unocclude.pipeline.hull import Silhouettes, VisualHull, unsupported_views
from unocclude.pipeline.meshing import Grid, is_watertight
from unocclude.pipeline.surface import Effort, fit_surface, regularity
from unocclude.pipeline.types import Image, Surface, ViewSet


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit of a second or two."""
    monkeypatch.setitem(surface_stage.EFFORTS, "fast", Effort((15_000, 40_000), (10, 60), 512, 6_000))


def solid(surface: Surface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices, surface.faces, process=False)


def analytic_ball(sharpness: float) -> NeuralSurface:
    grid = Grid.around(np.full(3, -0.6), np.full(3, 0.6), 40**3)
    points = torch.from_numpy(grid.points())
    colour = torch.full((3, *grid.shape), 0.25)
    low, high = (torch.tensor(c, dtype=torch.float32) for c in (grid.origin, grid.high))
    sdf = points.norm(dim=-1) - 0.4
    return NeuralSurface(sdf, torch.full_like(sdf, -torch.inf), colour, low, high, sharpness)


def test_weights_sum_to_the_opacity_and_peak_at_the_surface() -> None:
    distances = torch.linspace(0, 1, 101)[None]
    weights = section_weights(0.5 - distances, torch.tensor(200.0))
    assert weights.sum() == pytest.approx(1, abs=1e-3)
    middle = (distances[:, 1:] + distances[:, :-1]) / 2
    assert (weights * middle).sum() == pytest.approx(0.5, abs=0.01)
    assert section_weights(distances + 0.1, torch.tensor(200.0)).sum() < 0.05  # leaving a surface weighs nothing


def test_rendering_a_ball_gives_its_colour_and_outline() -> None:
    ball = analytic_ball(400.0)
    offsets = torch.tensor([0.0, 0.2, 0.38, 0.42, 0.5])
    origins = torch.stack([torch.full_like(offsets, 1.5), offsets, torch.zeros_like(offsets)], 1)
    directions = torch.tensor([-1.0, 0, 0]).expand_as(origins)
    near, far = ball.box_range(origins, directions)
    sdf = ball.signed_distance()
    distances = place_samples(ball, sdf, origins, directions, near, far, 40, 28, torch.full((5, 2), 0.5))
    assert (distances.diff(dim=1) >= 0).all()
    seen = render(ball, sdf, origins, directions, distances)
    np.testing.assert_allclose(seen.opacity.detach(), [1, 1, 1, 0, 0], atol=0.05)
    np.testing.assert_allclose(seen.colour[:3].detach(), 0.25, atol=0.02)


def test_a_true_distance_is_regular_and_a_distorted_one_is_not() -> None:
    ball = analytic_ball(100.0)
    sdf = ball.signed_distance().detach()
    eikonal, bending = regularity(sdf, ball.voxel)
    assert eikonal < 0.01
    assert regularity(sdf * 2, ball.voxel)[0] > 0.5
    rough = sdf + 0.3 * ball.voxel * torch.randn(sdf.shape, generator=torch.Generator().manual_seed(0))
    assert regularity(rough, ball.voxel)[1] > 20 * bending


@pytest.mark.parametrize("middle", [0.0, 0.5])
def test_a_thin_wall_costs_no_bending(middle: float) -> None:
    """Its two sides are flat; only the signed distance has a crease halfway between them."""
    x = torch.arange(-12.0, 13.0)[:, None, None].expand(-1, 9, 9)
    _, bending = regularity((x - middle).abs() - 2, 1.0)
    assert bending < 1e-6
    assert regularity((x**2).sqrt() - 2 + 0.3 * torch.sin(2 * x), 1.0)[1] > 0.1


def test_the_hull_holds_the_object_and_one_bad_view_cuts_nothing_off() -> None:
    mesh, views = sphere(), views_of(sphere())
    grid = Grid.around(np.full(3, -0.5), np.full(3, 0.5), 30**3)
    inside = np.linalg.norm(grid.points(), axis=-1) < 0.38
    spoilt = views.rgba.copy()
    spoilt[5, :, 128:, 3] = 0
    for rgba in (views.rgba, spoilt):
        hull = VisualHull.of(Silhouettes.of(ViewSet(rgba)))
        assert (hull.distance(grid)[inside] < 0).all()
        low, high = hull.box()
        assert (low < mesh.bounds[0] + 0.01).all()
        assert (high > mesh.bounds[1] - 0.01).all()


@pytest.mark.parametrize("shape", [sphere(), box()], ids=["sphere", "box"])
def test_simple_solids_are_recovered(shape: trimesh.Trimesh) -> None:
    surface = fit_surface(views_of(shape), "fast")
    assert is_watertight(surface)
    true = inside_voxels(np.asarray(shape.vertices), np.asarray(shape.faces))
    assert volume_iou(inside_voxels(surface.vertices, surface.faces), true) > 0.85
    assert solid(surface).volume > 0


def test_noise_gives_a_closed_surface() -> None:
    views = views_of(sphere(0.3))
    random = np.random.default_rng(0)
    rgba = random.integers(0, 256, views.rgba.shape).astype(np.uint8)
    outlines = ndimage.gaussian_filter(random.normal(size=(16, 256, 256)), (0, 6, 6)) * 30
    rgba[..., 3] = np.where(views.rgba[..., 3] / 255 + outlines > 0.5, 255, 0)
    surface = fit_surface(ViewSet(rgba), "fast")
    assert is_watertight(surface)
    assert solid(surface).body_count == 1
    assert np.isfinite(surface.vertices).all()


def test_the_base_is_closed_where_the_object_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(surface_stage.EFFORTS, "fast", Effort((15_000, 60_000), (10, 100), 1024, 6_000))
    mesh = solid(fit_surface(views_of(box(), chequered_colour), "fast"))
    assert mesh.bounds[0, 2] == pytest.approx(-0.4, abs=0.02)
    downward = mesh.face_normals[:, 2] < -0.9
    assert mesh.area_faces[downward].sum() == pytest.approx(0.5 * 0.4, rel=0.25)


def test_the_base_is_closed_where_it_is_told_to() -> None:
    mesh = solid(fit_surface(views_of(box()), "fast", base=-0.2))
    assert mesh.bounds[0, 2] == pytest.approx(-0.2, abs=0.005)
    assert mesh.is_watertight


def test_the_same_seed_gives_the_same_mesh_and_another_seed_another() -> None:
    views = views_of(box())
    first, again, other = (fit_surface(views, "fast", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.vertices, again.vertices)
    np.testing.assert_array_equal(first.faces, again.faces)
    assert first.vertices.shape != other.vertices.shape or not np.array_equal(first.vertices, other.vertices)


def test_progress_counts_up_with_previews_and_may_cancel() -> None:
    calls: list[tuple[str, int, int]] = []
    previews: list[Image] = []

    def watch(stage: str, step: int, total: int, preview: Image | None = None) -> None:
        calls.append((stage, step, total))
        if preview is not None:
            previews.append(preview)
        if step == 25:
            raise Cancelled("Stop.")

    with pytest.raises(Cancelled):
        fit_surface(views_of(sphere()), "fast", progress=watch)
    assert calls == [("mesh", step, 70) for step in range(1, 26)]
    assert previews[0].shape == (96, 96, 4)
    assert previews[0][48, 48, 3] > 200
    assert previews[0][0, 0, 3] < 20


def test_an_empty_view_is_left_out() -> None:
    views = views_of(box())
    rgba = views.rgba.copy()
    rgba[3] = 0
    mesh = solid(fit_surface(replace(views, rgba=rgba), "fast"))
    assert mesh.volume == pytest.approx(0.16, rel=0.15)


@pytest.mark.parametrize("height", [-0.25, 0.25])
def test_an_object_off_the_centre_keeps_what_the_views_see_of_it(height: float) -> None:
    ball = sphere(0.2)
    ball.apply_translation([0, 0, height])
    mesh = solid(fit_surface(views_of(ball), "fast"))
    assert mesh.is_watertight
    assert mesh.bounds[1, 2] == pytest.approx(height + 0.2, abs=0.03)
    assert mesh.extents[:2] == pytest.approx([0.4, 0.4], abs=0.03)
    bottom = mesh.bounds[0, 2]
    assert bottom < height - 0.08  # of what lies below hardly anything is seen
    missing = max(bottom - (height - 0.2), 0)
    cap = np.pi * missing**2 * (0.6 - missing) / 3
    assert mesh.volume == pytest.approx(ball.volume - cap, rel=0.08)


def test_translucent_views_give_a_surface() -> None:
    rgba = views_of(sphere()).rgba.copy()
    rgba[..., 3] = np.minimum(rgba[..., 3], 200)
    surface = fit_surface(ViewSet(rgba), "fast")
    assert np.isfinite(surface.vertices).all()
    assert is_watertight(surface)


def test_views_that_show_another_object_are_named() -> None:
    views = views_of(sphere(0.2))
    assert unsupported_views(views) == []
    mixed = views.rgba.copy()
    mixed[[2, 9]] = views_of(box(0.2, 0.9, 0.9)).rgba[[2, 9]]
    assert unsupported_views(ViewSet(mixed)) == [2, 9]
    surface = fit_surface(ViewSet(mixed), "fast")
    assert is_watertight(surface)
    assert solid(surface).volume == pytest.approx(4 / 3 * np.pi * 0.2**3, rel=0.3)


def test_views_that_contradict_one_another_put_no_matter_beyond_their_outlines() -> None:
    """Sixteen times one picture of something that is not round, in colours that differ from view to view."""
    rgba = np.repeat(views_of(box(0.9, 0.2, 0.5)).rgba[2:3], 16, 0)
    rgba[..., :3] = np.random.default_rng(0).integers(0, 255, (16, 1, 1, 3))
    hull = VisualHull.of(Silhouettes.of(ViewSet(rgba)))
    vertices = fit_surface(ViewSet(rgba), "fast").vertices
    grid = Grid.around(np.full(3, -0.5), np.full(3, 0.5), 64**3)
    distance = ndimage.map_coordinates(hull.distance(grid), ((vertices - grid.origin) / grid.voxel).T, order=1)
    assert distance.max() < surface_stage.MARGIN + 0.01


def test_halves_of_two_objects_are_a_sane_shape_or_refused() -> None:
    mixed = views_of(sphere(0.3)).rgba.copy()
    mixed[::2] = views_of(box(0.9, 0.2, 0.9)).rgba[::2]
    assert unsupported_views(ViewSet(mixed))
    surface = fit_surface(ViewSet(mixed), "fast")
    assert is_watertight(surface)
    assert np.isfinite(surface.vertices).all()


def test_nothing_grows_into_a_hollow_that_is_told() -> None:
    """The views are those of a solid can, as soft ones are of a mug: they would close it."""
    rgba = views_of(trimesh.creation.cylinder(0.35, 0.6), position_colour).rgba
    heights = np.linspace(-0.5, 0.5, 32)
    hollow = np.broadcast_to(np.where(heights > -0.2, 3.0, -3.0)[:, None, None], (32, 32, 32)).astype(np.float32)
    x, y, z = (-1 + 2 * np.indices((64, 64, 64)) / 64)[[0, 1, 2]]
    across = np.hypot(x, y)
    cup, can = (fit_surface(v, "fast", seed=0) for v in (ViewSet(rgba, hollow), ViewSet(rgba)))
    within, filled = (inside_voxels(mesh.vertices, mesh.faces) for mesh in (cup, can))
    core = (across < 0.28) & (z > -0.14) & (z < 0.25)
    assert filled[core].all()
    assert not within[core].any()
    assert within[(across > 0.32) & (across < 0.34) & (np.abs(z) < 0.2)].mean() > 0.9, "the wall"
    assert within[(across < 0.2) & (z > -0.27) & (z < -0.23)].all(), "the floor"
    assert is_watertight(cup)


def soft(views: ViewSet, blur: float) -> ViewSet:
    """Blurred by so many pixels, each view lighter or darker than it should be, and with grain."""
    opacity = views.rgba[..., 3:] / 255
    colour, alpha = (ndimage.gaussian_filter(x, (0, blur, blur, 0)) for x in (views.rgba[..., :3] * opacity, opacity))
    random = np.random.default_rng(0)
    off = random.normal(0, 20, (16, 1, 1, 3)) + random.normal(0, 10, (16, 256, 256, 3))
    rgb = np.clip(colour / np.maximum(alpha, 1e-3) + off, 0, 255)
    return ViewSet(np.concatenate([rgb, 255 * alpha], -1).round().astype(np.uint8))


def test_the_detail_that_views_show_is_a_quarter_of_their_outlines_blur() -> None:
    assert Silhouettes.of(views_of(sphere())).detail < 0.5
    # A blurred edge goes from a tenth to nine tenths in 2.56 standard deviations.
    assert Silhouettes.of(soft(views_of(sphere()), 8)).detail == pytest.approx(2.56 * 8 / 4, rel=0.15)


def test_soft_views_that_differ_leave_no_crumbs() -> None:
    """Mean angle between neighbouring faces; that of a sphere of so many faces is 2 degrees."""
    surface = fit_surface(soft(views_of(sphere(0.35)), 8), "fast")
    assert np.degrees(solid(surface).face_adjacency_angles).mean() < 9


def test_views_without_a_common_shape_are_refused() -> None:
    rgba = np.zeros((16, 256, 256, 4), np.uint8)
    with pytest.raises(InputError):
        fit_surface(ViewSet(rgba), "fast")
    rgba[::2, :40, :40] = 255
    rgba[1::2, 200:, 200:] = 255
    with pytest.raises(InputError, match="in common"):
        fit_surface(ViewSet(rgba), "fast")


def test_helper_views_are_coloured_by_position() -> None:
    views = views_of(sphere())
    assert views.rgba[0, 128, 128, 3] == 255
    ahead = -target_cameras()[0][:, :3].T @ target_cameras()[0][:, 3] / 1.5 * 0.4
    np.testing.assert_allclose(views.rgba[0, 128, 128, :3], position_colour(ahead), atol=6)
