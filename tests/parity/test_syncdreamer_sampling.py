"""Step tables and whole trajectories of SyncDreamer against the golden ones."""

from __future__ import annotations

import pytest
import torch
from golden_files import Golden, replay, within
from torch import Tensor
from unocclude.models.samplers import DDIM
from unocclude.models.schedule import NoiseSchedule, ScheduleConfig
from unocclude.models.syncdreamer import InputCondition, SyncDreamer

TABLES = 1e-6
STATES = 5e-4
SCALE = 0.18215

pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.mark.parametrize("steps", [25, 50, 100, 200])
def test_step_tables(steps: int, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("ddim_tables")
    sampler = DDIM.syncdreamer(NoiseSchedule(ScheduleConfig("scaled_linear", "epsilon")), steps)
    assert list(sampler.timesteps)[::-1] == stored[f"{steps}.timesteps"].tolist()
    assert (sampler.previous_alphas.flip(0) - stored[f"{steps}.alphas_prev"]).abs().max() < TABLES
    assert (sampler.sigmas.flip(0) - stored[f"{steps}.sigmas"]).abs().max() < TABLES


@pytest.mark.parametrize("run", ["sampler_nocfg", "sampler_cfg"])
def test_trajectory(run: str, synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors(run)
    settings = syncdreamer_golden.json("manifest_diffusion")[run]
    condition = InputCondition(stored["x_input"] / SCALE, stored["clip_embed"][:, 0], stored["elevation_rad"])
    sampler = DDIM.syncdreamer(synthesis.schedule, settings["ddim_num_steps"])
    assert sorted(sampler.timesteps) == sorted(stored["timesteps"].tolist())
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
