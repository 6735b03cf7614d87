"""The noise of diffusion models: how much there is at each timestep, and what a network predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

TRAIN_TIMESTEPS = 1000


@dataclass(frozen=True)
class ScheduleConfig:
    """`scaled_linear`: Stable Diffusion's, sqrt(beta) linear from sqrt(0.00085) to sqrt(0.012).

    `cosine`: Nichol & Dhariwal, arXiv 2102.09672, eq. 17, betas capped at 0.999.
    `epsilon`: the network predicts the noise. `v_prediction`: Salimans & Ho, arXiv 2202.00512,
    v = sqrt(a) * noise - sqrt(1 - a) * x0.
    `precision`: of the arithmetic behind the tables, which are stored in single in any case.
    """

    betas: Literal["scaled_linear", "cosine"] = "cosine"
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction"
    precision: Literal["double", "single"] = "double"


class NoiseSchedule(nn.Module):
    """Forward process x_t = sqrt(a_t) * x0 + sqrt(1 - a_t) * noise, a_t the cumulative product of 1 - beta.

    Timesteps are int64 tensors of shape (B,) in [0, 1000); data tensors are (B, ...).
    """

    alphas_cumprod: Tensor

    def __init__(self, config: ScheduleConfig) -> None:
        super().__init__()
        self.config = config
        alphas_cumprod = torch.cumprod(1 - betas(config), dim=0)
        self.register_buffer("alphas_cumprod", alphas_cumprod.float(), persistent=False)

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        signal, sigma = self._coefficients(t, x0)
        return signal * x0 + sigma * noise

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network is to predict."""
        if self.config.prediction == "epsilon":
            return noise
        signal, sigma = self._coefficients(t, x0)
        return signal * noise - sigma * x0

    def x0(self, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """The clean data that a prediction implies."""
        signal, sigma = self._coefficients(t, x_t)
        if self.config.prediction == "epsilon":
            return (x_t - sigma * prediction) / signal
        return signal * x_t - sigma * prediction

    def epsilon(self, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """The noise that a prediction implies."""
        if self.config.prediction == "epsilon":
            return prediction
        signal, sigma = self._coefficients(t, x_t)
        return sigma * x_t + signal * prediction

    def draw_timesteps(self, count: int, generator: torch.Generator, high_noise_share: float = 0.0) -> Tensor:
        """(count,) int64 on the generator's device, uniform; but this share of them, on average, in the noisiest tenth.

        What a sample is as a whole (form, colour) is decided there; a short training should spend its time there.
        """
        device = generator.device
        t = torch.randint(TRAIN_TIMESTEPS, (count,), generator=generator, device=device)
        if high_noise_share == 0:
            return t
        noisiest = TRAIN_TIMESTEPS - 1 - t // 10
        return torch.where(torch.rand(count, generator=generator, device=device) < high_noise_share, noisiest, t)

    def min_snr_weight(self, t: Tensor, gamma: float) -> Tensor:
        """(B,) loss weights of Hang et al., arXiv 2303.09556: min(SNR, gamma) in the space of x0."""
        a = self.alphas_cumprod[t]
        snr = a / (1 - a)
        scale = snr if self.config.prediction == "epsilon" else snr + 1
        return snr.clamp(max=gamma) / scale

    def _coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        a = self.alphas_cumprod[t].reshape(-1, *[1] * (like.ndim - 1))
        return a.sqrt().to(like.dtype), (1 - a).sqrt().to(like.dtype)


def betas(config: ScheduleConfig) -> Tensor:
    """(1000,) variances of the single steps."""
    dtype = torch.float64 if config.precision == "double" else torch.float32
    if config.betas == "scaled_linear":
        return torch.linspace(0.00085**0.5, 0.012**0.5, TRAIN_TIMESTEPS, dtype=dtype) ** 2
    time = torch.linspace(0, 1, TRAIN_TIMESTEPS + 1, dtype=dtype)
    alphas_cumprod = torch.cos((time + 0.008) / 1.008 * torch.pi / 2) ** 2
    return (1 - alphas_cumprod[1:] / alphas_cumprod[:-1]).clamp(max=0.999)
