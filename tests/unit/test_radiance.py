from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from shapes_in_view import sphere, views_of
from unocclude.errors import Cancelled
from unocclude.evaluation.geometry import inside_voxels, volume_iou
from unocclude.models.radiance import RadianceField, render
from unocclude.pipeline import radiance_fit
from unocclude.pipeline.meshing import Grid, is_watertight
from unocclude.pipeline.radiance_fit import fit_field, fit_radiance_surface
from unocclude.pipeline.surface import view_rays
from unocclude.pipeline.types import Image

GRID = Grid.around(np.full(3, -0.5), np.full(3, 0.5), 28**3)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit of a second or two."""
    for name, value in {"POINTS": 30_000, "STEPS": 60, "RAYS": 1024, "RATE": 0.3, "FACES": 6_000}.items():
        monkeypatch.setattr(radiance_fit, name, value)


def ball(radius: float) -> np.ndarray:
    """(X, Y, Z) signed distance on GRID."""
    return (np.linalg.norm(GRID.points(), axis=-1) - radius).astype(np.float32)


def test_light_fades_exponentially_through_even_fog() -> None:
    density = torch.full((9, 9, 9), 0.3)
    field = RadianceField(density, density > 0, torch.zeros(3), torch.full((3,), 8.0))
    origins, directions = torch.tensor([[-1.0, 4, 4]]), torch.tensor([[1.0, 0, 0]])
    near, far = field.box_range(origins, directions)
    seen = render(field, field.density(), origins, directions, near, far, (400, 8), torch.zeros(1, 2))
    assert seen.opacity.item() == pytest.approx(1 - math.exp(-0.3 * 8), abs=0.01)
    np.testing.assert_allclose(seen.colour.detach(), 0.5 * seen.opacity.detach()[:, None].expand(-1, 3), atol=1e-4)


def test_what_is_not_allowed_is_empty() -> None:
    density = torch.full((5, 5, 5), 2.0)
    allowed = torch.zeros(5, 5, 5, dtype=torch.bool)
    assert RadianceField(density, allowed, torch.zeros(3), torch.ones(3)).density().sum() == 0


@pytest.mark.parametrize("start", [0.3, 0.44], ids=["too small", "too large"])
def test_the_field_learns_to_look_like_the_views(start: float) -> None:
    views, everywhere = views_of(sphere(0.38)), np.ones(GRID.shape, bool)
    rays = view_rays(views, GRID.voxel, torch.device("cpu"))
    rays = rays[torch.arange(0, len(rays), 397)]

    def error(steps: int) -> float:
        field = fit_field(views, GRID, ball(start), everywhere, steps=steps)
        near, far = field.box_range(rays.origins, rays.directions)
        jitter = torch.full((len(rays), 2), 0.5)
        seen = render(field, field.density(), rays.origins, rays.directions, near, far, radiance_fit.SAMPLES, jitter)
        difference = (seen.opacity - rays.opacity).abs().mean() + (seen.colour - rays.colour).abs().mean()
        return difference.item()

    assert error(80) < 0.55 * error(0)


def test_a_ball_is_recovered_and_closed() -> None:
    shape = sphere()
    surface = fit_radiance_surface(views_of(shape))
    assert is_watertight(surface)
    true = inside_voxels(np.asarray(shape.vertices), np.asarray(shape.faces))
    assert volume_iou(inside_voxels(surface.vertices, surface.faces), true) > 0.8


def test_a_cancelled_fit_ends_at_that_step() -> None:
    def stop(stage: str, step: int, total: int, preview: Image | None = None) -> None:
        if step == 2:
            raise Cancelled("Stop.")

    with pytest.raises(Cancelled):
        fit_radiance_surface(views_of(sphere()), progress=stop)
