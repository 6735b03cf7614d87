"""Schedules, DDIM trajectories and whole runs of pix2gestalt against the golden ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_files import (
    IMAGE_ENCODER,
    NETWORKS,
    STORED_AS_HALF,
    TABLES,
    TRAJECTORY,
    Golden,
    replay,
    to_pictures,
    within,
)
from torch import Tensor
from unocclude.errors import InputError
from unocclude.models.pix2gestalt import CompletionCondition, Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.samplers import DDIM, ddim_timesteps
from unocclude.models.schedule import NoiseSchedule, betas

SCHEDULE = Pix2GestaltConfig.official().schedule

pytestmark = pytest.mark.usefixtures("no_gradients")


def test_schedule(pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("ddim")
    assert (betas(SCHEDULE).float() - stored["betas"]).abs().max() < TABLES
    assert torch.equal(NoiseSchedule(SCHEDULE).alphas_cumprod, stored["alphas_cumprod"])


def test_step_lists(pix2gestalt_golden: Golden) -> None:
    schedule, tables = NoiseSchedule(SCHEDULE), pix2gestalt_golden.json("ddim_schedules")
    for steps, expected in tables["schedules"].items():
        assert list(ddim_timesteps(int(steps))) == expected["ddim_timesteps_all"]
        assert list(DDIM.pix2gestalt(schedule, int(steps)).timesteps) == expected["visited_timesteps"]


def test_every_step_count_either_works_as_listed_or_is_refused(pix2gestalt_golden: Golden) -> None:
    schedule, tables = NoiseSchedule(SCHEDULE), pix2gestalt_golden.json("ddim_schedules")
    for steps, visited in tables["n_visited_by_S"].items():
        assert len(DDIM.pix2gestalt(schedule, int(steps)).timesteps) == visited
    for steps in (-1, 0, *tables["crashing_S"], 1001):
        with pytest.raises(InputError, match=f"{steps} steps"):
            DDIM.pix2gestalt(schedule, steps)


def test_trajectories(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    runs = pix2gestalt_golden.json("manifest")["meta"]["ddim_runs"]
    assert runs
    stored = pix2gestalt_golden.tensors("ddim")
    for run, settings in runs.items():
        compare_trajectory(run, settings, completion, stored)


def compare_trajectory(run: str, settings: dict[str, Any], completion: Pix2Gestalt, stored: dict[str, Tensor]) -> None:
    sampler = DDIM.pix2gestalt(completion.schedule, settings["S"], settings["eta"])
    assert list(sampler.timesteps) == stored[f"{run}.visited_timesteps"].tolist()
    assert list(ddim_timesteps(settings["S"])) == stored[f"{run}.ddim_timesteps_all"].tolist()
    visited = len(sampler.timesteps)
    alphas = completion.schedule.alphas_cumprod[list(sampler.timesteps)]
    tables = {"alphas": alphas, "alphas_prev": sampler.previous_alphas, "sigmas": sampler.sigmas}
    tables["sqrt_one_minus_alphas"] = (1 - alphas).sqrt()
    for name, found in tables.items():
        assert (found - stored[f"{run}.ddim_{name}"][:visited].flip(0)).abs().max() < TABLES, (run, name)
    start = stored[f"{run}.x_T"]
    noise = stored.get(f"{run}.noise", torch.zeros(visited, *start.shape))
    condition = CompletionCondition(stored["c_concat"], stored["c_crossattn"])
    states, predicted = [], []

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        states.append(x)
        return completion.guided(x, t, condition, settings["guidance_scale"])

    final = sampler.sample(denoise, tuple(start.shape), replay(start, *noise), lambda *step: predicted.append(step[2]))
    expected = stored[f"{run}.x_t"]
    assert within(torch.stack([*states[1:], final]), expected, TRAJECTORY)
    if f"{run}.pred_x0" in stored:
        assert within(torch.stack(predicted), stored[f"{run}.pred_x0"], TRAJECTORY)
    if f"{run}.decoded" in stored:
        assert within(completion.decode(final[:1]), stored[f"{run}.decoded"], TRAJECTORY)


def test_whole_run(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("end_to_end")
    settings = pix2gestalt_golden.json("manifest")["meta"]["end_to_end"]
    picture = to_pictures(stored["image_u8"])
    mask = to_pictures(stored["visible_mask_u8"].unsqueeze(-1))
    condition = completion.encode_condition(picture, mask)
    latents = torch.cat([stored["image_latent"], stored["mask_latent"]], dim=1)
    assert within(condition.latents, latents, NETWORKS)
    assert within(completion.image_encoder(picture), stored["clip_embedding"][:, 0], IMAGE_ENCODER)
    assert within(condition.context, stored["context"], IMAGE_ENCODER)
    condition = condition.repeat(settings["n_samples"])
    sampler = DDIM.pix2gestalt(completion.schedule, settings["ddim_steps"], settings["eta"])
    final = sampler.sample(
        lambda x, t: completion.guided(x, t, condition, settings["guidance_scale"]),
        tuple(stored["x_T"].shape),
        replay(stored["x_T"], *stored["noise"]),
    )
    assert within(final, stored["final_latent"], TRAJECTORY)
    decoded = completion.decode(final)
    assert (decoded - stored["decoded_fp16"]).abs().max() < STORED_AS_HALF
    found = torch.from_numpy(completion.to_rgba(decoded)[..., :3]).int()
    difference = (found - stored["outputs_u8"].int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.005
