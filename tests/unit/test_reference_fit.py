from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from shapes_in_view import sphere, views_of
from unocclude.errors import Cancelled
from unocclude.models.neus_reference import NeusConfig, ReferenceNeus
from unocclude.pipeline import reference_fit
from unocclude.pipeline.meshing import is_watertight
from unocclude.pipeline.reference_fit import Epochs, fit_reference_surface, view_pixels
from unocclude.pipeline.types import Image

SMALL = NeusConfig(sdf_width=48, sdf_layers=3, skip=2, feature=16, colour_width=16, colour_layers=1)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network and a few steps, so that a fit takes seconds."""
    monkeypatch.setattr(reference_fit, "ReferenceNeus", lambda: ReferenceNeus(SMALL))
    for name, value in {"STEPS": 40, "ALL_RAYS": 96, "OBJECT_RAYS": 32, "CHUNK": 64, "LATTICE": 40}.items():
        monkeypatch.setattr(reference_fit, name, value)


def test_the_fit_moves_from_its_first_ball_towards_the_object() -> None:
    steps: list[int] = []

    def watch(stage: str, step: int, total: int, preview: Image | None = None) -> None:
        assert (stage, total) == ("mesh", 40)
        steps.append(step)

    surface = fit_reference_surface(views_of(sphere(0.25)), progress=watch)
    assert steps == list(range(1, 41))
    assert is_watertight(surface)
    torch.manual_seed(0)
    start = reference_fit.sdf_lattice(ReferenceNeus(SMALL), 40)
    volume = trimesh.Trimesh(surface.vertices, surface.faces, process=False).volume
    assert 0 < volume < 0.9 * float((start < 0).mean()) * 1.2**3


def test_a_cancelled_fit_ends_at_that_step() -> None:
    def stop(stage: str, step: int, total: int, preview: Image | None = None) -> None:
        if step == 2:
            raise Cancelled("Stop.")

    with pytest.raises(Cancelled):
        fit_reference_surface(views_of(sphere()), progress=stop)


def test_an_epoch_repeats_nothing_and_the_next_is_another_order() -> None:
    epochs = Epochs(torch.arange(12), torch.Generator().manual_seed(0))
    first = torch.cat([epochs.next(4) for _ in range(3)])
    second = torch.cat([epochs.next(4) for _ in range(3)])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(12))
    assert first.tolist() != second.tolist()


def test_transparent_pixels_are_white() -> None:
    pixels = view_pixels(views_of(sphere()))
    assert len(pixels.colour) == 16 * 256 * 256
    np.testing.assert_allclose(pixels.colour[pixels.opacity == 0], 1.0)
    np.testing.assert_allclose(pixels.directions.norm(dim=1), 1.0, rtol=1e-5)
