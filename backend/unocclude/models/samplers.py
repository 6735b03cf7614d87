"""From noise to data with a trained denoiser. All samplers share one interface, `Sampler`.

A denoiser maps x_t (B, ...) and timesteps (B,) to what the schedule wants predicted, (B, ...).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from unocclude.errors import InputError
from unocclude.models.schedule import TRAIN_TIMESTEPS, NoiseSchedule, betas

Denoiser = Callable[[Tensor, Tensor], Tensor]
OnStep = Callable[[int, int, Tensor], None]
"""Told each step's number (from 1), their total and the x0 predicted by now. It may raise, to cancel."""
Noise = Callable[[tuple[int, ...]], Tensor]
"""Draws standard normal numbers of a shape."""


def ignore_step(step: int, total: int, x0: Tensor) -> None:
    """The `OnStep` of callers who do not watch."""


def gaussian(generator: torch.Generator, device: torch.device | str = "cpu") -> Noise:
    """Noise from a CPU generator, so that a seed means the same on every device."""
    return lambda shape: torch.randn(shape, generator=generator).to(device)


class Sampler(ABC):
    timesteps: tuple[int, ...]
    """The timesteps visited, noisiest first."""

    @abstractmethod
    def sample(self, denoise: Denoiser, shape: tuple[int, ...], noise: Noise, on_step: OnStep = ignore_step) -> Tensor:
        """Data of `shape`, on the device of the noise. The first draw of `noise` is the start, x_T."""


class DDIM(Sampler):
    """Song et al., arXiv 2010.02502, with the step lists of the two reference implementations.

    Both visit 1, 1 + c, 1 + 2c, ... with c = 1000 // steps, which gives more steps than asked where `steps`
    does not divide 1000, and both end at the noise level of timestep 0 instead of none. `eta` scales the
    fresh noise: 0 is deterministic, 1 is ancestral sampling.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        steps: int,
        eta: float = 1.0,
        *,
        skip_noisiest: bool = False,
        noise_on_last_step: bool = False,
    ) -> None:
        """Raises InputError where the step list would leave the 1000 timesteps."""
        ascending = ddim_timesteps(steps)
        self.schedule = schedule
        self.noise_on_last_step = noise_on_last_step
        alphas_cumprod = schedule.alphas_cumprod.cpu()
        alphas = alphas_cumprod[list(ascending)]
        previous = alphas_cumprod[[0, *ascending[:-1]]]
        a, p = alphas.double(), previous.double()
        sigmas = (eta * ((1 - p) / (1 - a) * (1 - a / p)).sqrt()).float()
        last = len(ascending) - 1 if skip_noisiest else len(ascending)
        self.timesteps = ascending[:last][::-1]
        self.previous_alphas = previous[:last].flip(0)
        self.sigmas = sigmas[:last].flip(0)
        # The bound only guards against rounding.
        self.directions = (1 - self.previous_alphas - self.sigmas**2).clamp(min=1e-7).sqrt()

    @classmethod
    def pix2gestalt(cls, schedule: NoiseSchedule, steps: int, eta: float = 1.0) -> DDIM:
        """As published, quirks included: no visit to the noisiest timestep, noise even on the last step."""
        return cls(schedule, steps, eta, skip_noisiest=True, noise_on_last_step=True)

    @classmethod
    def syncdreamer(cls, schedule: NoiseSchedule, steps: int) -> DDIM:
        """As published: eta 1, no noise on the last step."""
        return cls(schedule, steps)

    def sample(self, denoise: Denoiser, shape: tuple[int, ...], noise: Noise, on_step: OnStep = ignore_step) -> Tensor:
        x = noise(shape)
        total = len(self.timesteps)
        for i, timestep in enumerate(self.timesteps):
            t = torch.full((shape[0],), timestep, device=x.device)
            prediction = denoise(x, t)
            x0 = self.schedule.x0(x, prediction, t)
            epsilon = self.schedule.epsilon(x, prediction, t)
            tables = (self.previous_alphas, self.directions, self.sigmas)
            previous, direction, sigma = (table[i].to(x.device) for table in tables)
            x = previous.sqrt() * x0 + direction * epsilon
            if self.noise_on_last_step or i + 1 < total:
                x = x + sigma * noise(shape)
            on_step(i + 1, total, x0)
        return x


class DPMSolver(Sampler):
    """DPM-Solver++(2M), Lu et al., arXiv 2211.01095: deterministic, good from about ten steps on."""

    def __init__(self, schedule: NoiseSchedule, steps: int) -> None:
        self.schedule = schedule
        self.steps = steps
        self.timesteps = tuple(self._solver().timesteps.tolist())

    def sample(self, denoise: Denoiser, shape: tuple[int, ...], noise: Noise, on_step: OnStep = ignore_step) -> Tensor:
        solver = self._solver()
        x = noise(shape)
        for i, timestep in enumerate(self.timesteps):
            t = torch.full((shape[0],), timestep, device=x.device)
            prediction = denoise(x, t)
            on_step(i + 1, len(self.timesteps), self.schedule.x0(x, prediction, t))
            x = solver.step(prediction, timestep, x).prev_sample
        return x

    def _solver(self) -> Any:
        """A fresh one for each run, because it remembers earlier steps."""
        solver: Any = DPMSolverMultistepScheduler(
            trained_betas=betas(self.schedule.config).float().numpy(),
            prediction_type=self.schedule.config.prediction,
            algorithm_type="dpmsolver++",
            solver_order=2,
            timestep_spacing="trailing",
            final_sigmas_type="zero",
            lambda_min_clipped=-5.1,  # the cosine schedule's first timesteps are too close to pure noise
        )
        solver.set_timesteps(self.steps)
        return solver


def ddim_timesteps(steps: int) -> tuple[int, ...]:
    """Ascending. Raises InputError for counts whose list would reach timestep 1000, which no schedule has."""
    timesteps = tuple(range(1, TRAIN_TIMESTEPS + 1, TRAIN_TIMESTEPS // steps)) if 0 < steps <= 1000 else ()
    if not timesteps or timesteps[-1] >= TRAIN_TIMESTEPS:
        raise InputError(
            f"DDIM sampling cannot take {steps} steps, for its step list would leave the schedule.",
            "Choose a count that divides 1000, such as 10, 20, 25, 50, 100 or 200.",
        )
    return timesteps
