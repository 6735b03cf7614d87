"""Passes shrink when memory runs out, say so, and give up at one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from unocclude.models.memory import TIERS, OutOfMemoryError, Passes, inference, tier_for
from unocclude.models.pix2gestalt import Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.syncdreamer import SyncDreamer, SyncDreamerConfig
from unocclude.pipeline.completion_samples import sample_completions
from unocclude.pipeline.crop import Crop
from unocclude.pipeline.types import Completion
from unocclude.pipeline.views import generate_views
from unocclude.profiles import PROFILES


def fits(most: int) -> tuple[list[int], object]:
    tried: list[int] = []

    def work(at_once: int) -> int:
        tried.append(at_once)
        if at_once > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return at_once

    return tried, work


def test_passes_are_halved_until_they_fit_and_stay_so() -> None:
    said: list[str] = []
    passes = Passes(16, said.append)
    tried, work = fits(most=5)
    assert passes.run(work) == 4  # type: ignore[arg-type]
    assert passes.run(work) == 4  # type: ignore[arg-type]
    assert tried == [16, 8, 4, 4]
    assert len(said) == 2
    assert "4 at a time" in said[1]


def test_what_never_fits_is_said_with_a_cure() -> None:
    _, work = fits(most=0)
    with pytest.raises(OutOfMemoryError, match="--device cpu"):
        Passes(4).run(work)  # type: ignore[arg-type]


@pytest.mark.parametrize(("gib", "name"), [(40, "roomy"), (8, "medium"), (5, "lean"), (1, "lean")])
def test_the_tier_goes_by_free_memory(gib: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (gib * 2**30, 48 * 2**30))
    assert tier_for(torch.device("cuda")).name == name
    assert tier_for(torch.device("cpu")).name == "medium"


def test_tiers_ask_for_less_and_less() -> None:
    assert sorted(TIERS, key=lambda tier: -tier.free) == list(TIERS)
    assert TIERS[-1].free == 0
    assert TIERS[-1].at_once == 1


@pytest.fixture(scope="module")
def model() -> Pix2Gestalt:
    torch.manual_seed(0)
    return Pix2Gestalt(Pix2GestaltConfig.bundled()).eval()


def completions(model: Pix2Gestalt, at_once: int | None, samples: int = 3) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    visible = np.zeros((64, 64), bool)
    visible[20:40, 20:40] = True
    passes = None if at_once is None else Passes(at_once)
    options = {"steps": 2, "guidance": 2.0, "seed": 1}
    found = sample_completions(image, visible, Crop(0, 0, 64, 64), model, samples=samples, passes=passes, **options)
    return np.stack([c.rgba for c in found]).astype(int)


def differ_by_rounding(a: np.ndarray, b: np.ndarray) -> bool:
    """Hardly any value by more than a level, and on average by next to nothing as laid over white.

    There is no largest difference to hold: a pixel may fall to either side of the threshold between object and
    background, which then decides all of it.
    """
    difference = np.abs(over_white(a) - over_white(b))
    return bool((np.abs(a - b) > 1).mean() < 1e-3 and difference.mean() < 0.1)


def over_white(rgba: np.ndarray) -> np.ndarray:
    opacity = rgba[..., 3:] / 255
    return np.asarray(rgba[..., :3] * opacity + 255 * (1 - opacity))


def test_smaller_passes_change_nothing_but_rounding(model: Pix2Gestalt) -> None:
    together, singly = completions(model, None), completions(model, 1)
    assert differ_by_rounding(together, singly)
    assert differ_by_rounding(together[:2], completions(model, None, samples=2))
    assert not differ_by_rounding(together[0], together[1])


def test_memory_that_runs_out_in_the_middle_is_survived(model: Pix2Gestalt, monkeypatch: pytest.MonkeyPatch) -> None:
    guided, wanted = model.guided, completions(model, None)

    def tight(z: torch.Tensor, *rest: object) -> torch.Tensor:
        if len(z) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return guided(z, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "guided", tight)
    assert differ_by_rounding(completions(model, None), wanted)


def test_views_go_on_in_smaller_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = SyncDreamer(SyncDreamerConfig.bundled()).eval()
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:48, 16:48] = (10, 200, 30, 255)
    said: list[str] = []

    def made(at_once: int) -> np.ndarray:
        passes = Passes(at_once, said.append)
        return generate_views(Completion(rgba), 20.0, model, steps=1, guidance=1.0, seed=0, passes=passes).rgba.astype(
            int
        )

    wanted, denoise_views = made(16), model.denoise_views

    def tight(x: torch.Tensor, *rest: object) -> torch.Tensor:
        if len(x) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return denoise_views(x, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "denoise_views", tight)
    assert differ_by_rounding(made(16), wanted)
    assert [message.split("with ")[1].split(",")[0] for message in said] == ["8 at a time", "4 at a time"]


def test_halves_are_computed_with_fragile_parts_in_single_precision(model: Pix2Gestalt) -> None:
    with inference(model):
        assert not torch.is_autocast_enabled("cpu")
        picture = torch.zeros(1, 3, 64, 64)
        wanted = model.autoencoder.decode(model.encode(picture))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = model.autoencoder.decode(model.encode(picture))
    assert found.dtype == torch.float32
    assert torch.equal(found, wanted)


def test_reference_samplers_take_as_many_steps_as_their_authors() -> None:
    for profile in PROFILES.values():
        assert (profile.steps("complete", "reference"), profile.steps("views", "reference")) == (200, 50)
        assert profile.steps("complete", "fast") == profile.completion_steps <= 30
        assert profile.steps("views", "fast") == profile.view_steps <= 30
