"""The bundled estimator of the camera's elevation."""

from __future__ import annotations

import numpy as np
import pytest
from unocclude.data.objects import random_object
from unocclude.data.renderer import ObjectRenderer, random_lighting
from unocclude.errors import InputError
from unocclude.models.elevation import ElevationEstimator, estimate_elevation, framed
from unocclude.models.registry import BUNDLED
from unocclude.models.weights import load_bundled


@pytest.fixture(scope="module")
def estimator() -> ElevationEstimator:
    return load_bundled(BUNDLED / "elevation.safetensors", ElevationEstimator)


def test_is_small(estimator: ElevationEstimator) -> None:
    assert sum(weight.numel() for weight in estimator.parameters()) < 300_000


def test_beats_the_best_constant_on_objects_it_never_saw(estimator: ElevationEstimator) -> None:
    truth, estimates = [], []
    for seed in range(40):
        rng = np.random.default_rng([seed, 20_240_501])
        elevation = float(rng.uniform(-5, 40))
        picture = ObjectRenderer(random_object(rng), random_lighting(rng)).render(0, elevation, 128)
        truth.append(elevation)
        estimates.append(estimate_elevation(estimator, picture.rgba))
    constant = np.abs(np.array(truth) - np.median(truth)).mean()
    assert np.abs(np.array(truth) - estimates).mean() < 0.85 * constant


def test_place_and_size_in_the_picture_do_not_matter(estimator: ElevationEstimator) -> None:
    rng = np.random.default_rng(3)
    rgba = ObjectRenderer(random_object(rng), random_lighting(rng)).render(0, 20, 128).rgba
    moved = np.zeros((300, 200, 4), np.uint8)
    moved[150:278, 60:188] = rgba
    assert estimate_elevation(estimator, moved) == pytest.approx(estimate_elevation(estimator, rgba), abs=1e-3)


def test_needs_an_object() -> None:
    with pytest.raises(InputError, match="no object"):
        framed(np.zeros((64, 64, 4), np.uint8))
