"""The bundled view model knows a bowl and a mug from a can."""

from __future__ import annotations

import numpy as np
import pytest
from unocclude.data.families import FAMILIES
from unocclude.data.objects import merge
from unocclude.data.renderer import ObjectRenderer, random_lighting
from unocclude.models.registry import BUNDLED
from unocclude.models.syncdreamer import SyncDreamer
from unocclude.models.weights import load_bundled
from unocclude.pipeline.types import Completion
from unocclude.pipeline.views import generate_views

ELEVATION = 30.0
SEEDS = range(12)


@pytest.fixture(scope="module")
def network() -> SyncDreamer:
    return load_bundled(BUNDLED / "views.safetensors", SyncDreamer)


def share_told_hollow(family: str, seed: int, network: SyncDreamer) -> float:
    """Of the places on the object's axis, from its middle to its top."""
    rng = np.random.default_rng(seed)
    thing = merge(family, FAMILIES[family][0](rng), np.eye(3))
    picture = ObjectRenderer(thing, random_lighting(rng)).render(0.0, ELEVATION, 256).rgba
    logits = generate_views(Completion(picture), ELEVATION, network, steps=1, guidance=1.0, seed=0).hollow
    side = len(logits)
    top = round((thing.vertices[:, 2].max() + 0.5) * (side - 1))
    middle = slice(side // 2 - 1, side // 2 + 1)
    return float((logits[side // 2 : top, middle, middle] > 0).mean())


def test_bowls_and_mugs_are_hollow_and_cans_are_not(network: SyncDreamer) -> None:
    bowls, mugs, cans = (
        [share_told_hollow(family, seed, network) for seed in SEEDS] for family in ("bowl", "mug", "can")
    )
    assert np.mean(bowls) > 0.9
    assert np.mean(mugs) > 0.5
    assert np.mean(cans) < 0.1, "but for one that flares like a tumbler"
