"""Step tables and whole trajectories of SyncDreamer against the golden ones."""

from __future__ import annotations

import pytest
import torch
from golden_files import TABLES, Golden, cases, replay, within
from torch import Tensor
from unocclude.models.samplers import DDIM
from unocclude.models.schedule import NoiseSchedule
from unocclude.models.syncdreamer import InputCondition, SyncDreamer, SyncDreamerConfig

STATES = 5e-4
SCALE = 0.18215

pytestmark = pytest.mark.usefixtures("no_gradients")


def test_step_tables(syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("ddim_tables")
    for steps in cases(stored, ".timesteps"):
        sampler = DDIM.syncdreamer(NoiseSchedule(SyncDreamerConfig.official().schedule), int(steps))
        compare_tables(sampler, stored, f"{steps}.")
        assert (sampler.directions.flip(0) - stored[f"{steps}.dir_coef"]).abs().max() < TABLES


def compare_tables(sampler: DDIM, stored: dict[str, Tensor], prefix: str) -> None:
    """The golden ones begin with the least noise."""
    alphas = sampler.schedule.alphas_cumprod[list(sampler.timesteps)]
    tables = {"alphas": alphas, "alphas_prev": sampler.previous_alphas, "sigmas": sampler.sigmas}
    tables["sqrt_one_minus_alphas"] = (1 - alphas).sqrt()
    for name, found in tables.items():
        assert (found.flip(0) - stored[prefix + name]).abs().max() < TABLES, (prefix, name)


@pytest.mark.parametrize("run", ["sampler_nocfg", "sampler_cfg"])
def test_trajectory(run: str, synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors(run)
    settings = syncdreamer_golden.json("manifest_diffusion")[run]
    condition = InputCondition(stored["x_input"] / SCALE, stored["clip_embed"][:, 0], stored["elevation_rad"])
    sampler = DDIM.syncdreamer(synthesis.schedule, settings["ddim_num_steps"])
    assert sorted(sampler.timesteps) == sorted(stored["timesteps"].tolist())
    compare_tables(sampler, stored, "ddim_")
    assert len(sampler.timesteps) == settings["actual_steps"]
    states: list[Tensor] = []
    predictions: list[Tensor] = []

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        states.append(x)
        scale, chunk = settings["unconditional_scale"], settings["batch_view_num"]
        prediction = synthesis.denoise(x, t, condition, scale, views_at_once=chunk)
        predictions.append(prediction)
        return prediction

    final = sampler.sample(denoise, tuple(stored["x_T"].shape), replay(stored["x_T"], *stored["noise"]))
    assert within(final, stored["final"], STATES)
    for i, state in enumerate([*states[1:], final]):
        assert within(state[:, ::5], stored[f"x.{i}"], STATES)
        assert within(predictions[i][:, 0], stored[f"eps.{i}.view0"], STATES)
    largest = torch.stack([x.abs().max() for x in [*states[1:], final]])
    assert within(largest, stored["absmax_per_step"], STATES)
