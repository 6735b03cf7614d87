"""Noise schedules and samplers on data whose ideal denoiser is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from unocclude.errors import Cancelled
from unocclude.models.samplers import DDIM, Denoiser, DPMSolver, Sampler, gaussian
from unocclude.models.schedule import NoiseSchedule, ScheduleConfig

SHAPE = (512, 3)
MEAN, STD = 1.5, 0.4
CONFIGS = [
    ScheduleConfig("cosine", "v_prediction"),
    ScheduleConfig("cosine", "epsilon"),
    ScheduleConfig("scaled_linear", "epsilon"),
]


def ideal(schedule: NoiseSchedule) -> Denoiser:
    """For normally distributed data: the expected noise, or v, given x_t."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        a = schedule.alphas_cumprod[t].double().reshape(-1, 1)
        x0 = MEAN + a.sqrt() * STD**2 / (a * STD**2 + 1 - a) * (x - a.sqrt() * MEAN)
        epsilon = (x - a.sqrt() * x0) / (1 - a).sqrt()
        return schedule.target(x0, epsilon, t).to(x.dtype)

    return denoise


def exact_flow(schedule: NoiseSchedule, start: Tensor, first: int) -> Tensor:
    """Where the probability flow of the same data carries the start."""
    a = schedule.alphas_cumprod[first].double()
    return MEAN + STD * (start - a.sqrt() * MEAN) / (a * STD**2 + 1 - a).sqrt()


@pytest.mark.parametrize("config", CONFIGS)
def test_predictions_are_inverted(config: ScheduleConfig) -> None:
    schedule, generator = NoiseSchedule(config), torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(4, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.tensor([1, 100, 500, 900])
    x_t, target = schedule.add_noise(x0, noise, t), schedule.target(x0, noise, t)
    assert torch.allclose(schedule.x0(x_t, target, t), x0)
    assert torch.allclose(schedule.epsilon(x_t, target, t), noise)


@pytest.mark.parametrize("config", CONFIGS)
def test_noise_grows_to_nothing_but_noise(config: ScheduleConfig) -> None:
    a = NoiseSchedule(config).alphas_cumprod
    assert (a.diff() < 0).all()
    assert a[0] > 0.99
    assert 0 < a[-1] < 0.005


def test_min_snr_weights_are_the_published_ones() -> None:
    t = torch.tensor([0, 200, 500, 900])
    for config in CONFIGS[:2]:
        schedule = NoiseSchedule(config)
        a = schedule.alphas_cumprod[t]
        snr = a / (1 - a)
        expected = torch.minimum(snr, torch.tensor(5.0)) / (snr + (config.prediction == "v_prediction"))
        assert torch.allclose(schedule.min_snr_weight(t, 5.0), expected)


@pytest.mark.parametrize("config", CONFIGS)
def test_dpm_solver_follows_the_probability_flow(config: ScheduleConfig) -> None:
    schedule = NoiseSchedule(config)
    errors = []
    for steps in (10, 40):
        solver = DPMSolver(schedule, steps)
        start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
        found = solver.sample(ideal(schedule), SHAPE, gaussian(torch.Generator().manual_seed(0)))
        errors.append((found - exact_flow(schedule, start, solver.timesteps[0])).abs().mean().item())
    assert errors[1] < 0.05 * STD
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("config", CONFIGS)
def test_ddim_gives_the_distribution_of_the_data(config: ScheduleConfig, eta: float) -> None:
    schedule = NoiseSchedule(config)
    found = DDIM(schedule, 200, eta).sample(ideal(schedule), SHAPE, gaussian(torch.Generator().manual_seed(0)))
    assert found.mean().item() == pytest.approx(MEAN, abs=0.05)
    assert found.std().item() == pytest.approx(STD, abs=0.03)


def samplers() -> list[Sampler]:
    schedule = NoiseSchedule(CONFIGS[0])
    return [DDIM.pix2gestalt(schedule, 10), DDIM.syncdreamer(schedule, 10), DPMSolver(schedule, 10)]


@pytest.mark.parametrize("sampler", samplers(), ids=["pix2gestalt", "syncdreamer", "dpm"])
def test_a_seed_gives_the_same_data_again(sampler: Sampler) -> None:
    denoise = ideal(NoiseSchedule(CONFIGS[0]))
    runs = [sampler.sample(denoise, SHAPE, gaussian(torch.Generator().manual_seed(s))) for s in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("sampler", samplers(), ids=["pix2gestalt", "syncdreamer", "dpm"])
def test_steps_are_reported_and_can_be_cancelled(sampler: Sampler) -> None:
    denoise = ideal(NoiseSchedule(CONFIGS[0]))
    reports: list[tuple[int, int]] = []

    def cancel_at_third(step: int, total: int, x0: Tensor) -> None:
        assert x0.shape == SHAPE
        reports.append((step, total))
        if step == 3:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        sampler.sample(denoise, SHAPE, gaussian(torch.Generator()), cancel_at_third)
    total = len(sampler.timesteps)
    assert reports == [(1, total), (2, total), (3, total)]
