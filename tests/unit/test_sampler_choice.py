"""Both stages with the fast sampler and with the authors' own: steps, previews, cancelling, seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from unocclude.errors import Cancelled
from unocclude.models.pix2gestalt import Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.syncdreamer import SyncDreamer, SyncDreamerConfig
from unocclude.pipeline.completion_samples import sample_completions
from unocclude.pipeline.crop import Crop
from unocclude.pipeline.types import Completion, Image
from unocclude.pipeline.views import generate_views
from unocclude.protocol import SAMPLERS, SamplerName


class Watcher:
    """A `Progress` that keeps what it hears, and cancels at a step."""

    def __init__(self, cancel_at: int | None = None) -> None:
        self.heard: list[tuple[int, int]] = []
        self.previews: list[Image] = []
        self._cancel_at = cancel_at

    def __call__(self, stage: str, step: int, total: int, preview: Image | None = None) -> None:
        self.heard.append((step, total))
        if preview is not None:
            self.previews.append(preview)
        if step == self._cancel_at:
            raise Cancelled("Enough.")


@pytest.fixture(scope="module")
def completion_model() -> Pix2Gestalt:
    torch.manual_seed(0)
    return Pix2Gestalt(Pix2GestaltConfig.bundled()).eval()


def completed(model: Pix2Gestalt, sampler: SamplerName, watcher: Watcher, seed: int = 1) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    visible = np.zeros((64, 64), bool)
    visible[20:40, 20:40] = True
    crop = Crop(0, 0, 64, 64)
    settings = {"samples": 1, "steps": 8, "guidance": 1.5, "seed": seed}
    return sample_completions(image, visible, crop, model, sampler=sampler, progress=watcher, **settings)[0].rgba  # type: ignore[arg-type]


@pytest.mark.parametrize(("sampler", "calls"), [("fast", 8), ("reference", 7)])
def test_every_step_is_told_and_a_preview_now_and_then(
    sampler: SamplerName, calls: int, completion_model: Pix2Gestalt
) -> None:
    """The reference never visits the noisiest of its timesteps. After the last step the sample itself comes."""
    watcher = Watcher()
    completed(completion_model, sampler, watcher)
    assert watcher.heard == [(step, calls) for step in range(1, calls + 1)]
    assert [preview.shape for preview in watcher.previews] == [(64, 64, 4)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_cancelling_takes_effect_at_the_next_step(sampler: SamplerName, completion_model: Pix2Gestalt) -> None:
    watcher = Watcher(cancel_at=2)
    with pytest.raises(Cancelled):
        completed(completion_model, sampler, watcher)
    assert len(watcher.heard) == 2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_means_the_same_again(sampler: SamplerName, completion_model: Pix2Gestalt) -> None:
    first, again, other = (completed(completion_model, sampler, Watcher(), seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_samplers_differ(completion_model: Pix2Gestalt) -> None:
    fast, reference = (completed(completion_model, sampler, Watcher()) for sampler in SAMPLERS)
    assert not np.array_equal(fast, reference)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_views(sampler: SamplerName) -> None:
    torch.manual_seed(0)
    model = SyncDreamer(SyncDreamerConfig.bundled()).eval()
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:48, 16:48] = (10, 200, 30, 255)
    watcher = Watcher()
    views = generate_views(
        Completion(rgba), 20.0, model, steps=2, guidance=1.0, seed=0, sampler=sampler, progress=watcher
    )
    assert views.rgba.shape == (16, 256, 256, 4)
    assert watcher.heard == [(1, 2), (2, 2)]
