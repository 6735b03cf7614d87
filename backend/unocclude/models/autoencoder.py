"""Pictures to latents and back: the KL autoencoder of latent diffusion (Rombach et al., arXiv 2112.10752).

Two kinds of pictures: RGB on white, where the object is told from the background by its not being white, and
RGBA, where a fourth channel carries the silhouette. Which one is a matter of `AutoencoderConfig.channels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

LATENT_CHANNELS = 4
FAINT_ALPHA = 8
"""Alpha (of 255) at or below this is the decoder's noise on an empty background."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """`channels`: 3 for RGB on white, 4 for RGBA. `mid_attention`: self-attention at the lowest resolution.

    `latent_mean` and `latent_std`, per latent channel, standardise what the diffusion model sees.
    """

    channels: int
    widths: tuple[int, ...]
    layers_per_block: int
    groups: int
    mid_attention: bool
    latent_mean: tuple[float, ...] = (0.0,) * LATENT_CHANNELS
    latent_std: tuple[float, ...] = (1.0,) * LATENT_CHANNELS

    @classmethod
    def official(cls) -> AutoencoderConfig:
        """Stable Diffusion 1.x."""
        return cls(3, (128, 256, 512, 512), 2, 32, True, latent_std=(1 / 0.18215,) * LATENT_CHANNELS)

    @classmethod
    def bundled(cls) -> AutoencoderConfig:
        return cls(4, (12, 24, 48, 96), 1, 4, False)


class Autoencoder(nn.Module):
    """Pictures (B, C, H, W) float in [-1, 1]; latents (B, 4, H/8, W/8)."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        levels = len(config.widths)
        self.kl: Any = AutoencoderKL(
            in_channels=config.channels,
            out_channels=config.channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=config.widths,
            layers_per_block=config.layers_per_block,
            latent_channels=LATENT_CHANNELS,
            norm_num_groups=config.groups,
            mid_block_add_attention=config.mid_attention,
        )

    def posterior(self, pictures: Tensor) -> DiagonalGaussianDistribution:
        """Of the plain latents. The pictures may also be masks or RGB, see `fit_channels`."""
        # Contiguous, because GroupNorm on permuted HWC memory loses three digits on flat white areas.
        pictures = self.fit_channels(pictures).contiguous()
        with self._single_precision(pictures):
            return cast(DiagonalGaussianDistribution, self.kl.encode(pictures.float()).latent_dist)

    def encode(self, pictures: Tensor) -> Tensor:
        """Standardised posterior means."""
        return self.standardise(self.posterior(pictures).mode())

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures from standardised latents; values may leave [-1, 1] a little."""
        with self._single_precision(latents):
            return cast(Tensor, self.kl.decode(self.plain(latents.float())).sample)

    def standardise(self, plain: Tensor) -> Tensor:
        """Zero mean and unit variance per channel, from the encoder's plain latents (..., 4, h, w)."""
        mean, std = self._moments(plain)
        return (plain - mean) / std

    def plain(self, standardised: Tensor) -> Tensor:
        """The inverse of `standardise`."""
        mean, std = self._moments(standardised)
        return standardised * std + mean

    def fit_channels(self, pictures: Tensor) -> Tensor:
        """A mask (B, 1, H, W) fills all channels; RGB becomes opaque where the autoencoder is for RGBA."""
        if pictures.shape[1] == 1:
            return pictures.expand(-1, self.config.channels, -1, -1)
        missing = self.config.channels - pictures.shape[1]
        return F.pad(pictures, (0, 0, 0, 0, 0, missing), value=1.0)

    def to_rgba(self, decoded: Tensor) -> NDArray[np.uint8]:
        """(B, H, W, 4) uint8, straight alpha, from decoded pictures of objects on white."""
        # Truncated, not rounded: pix2gestalt's thresholds are set for that.
        pixels = ((decoded.float() + 1) / 2).clamp(0, 1).mul(255).to(torch.uint8)
        pictures = pixels.permute(0, 2, 3, 1).cpu().numpy()
        rgb = pictures[..., :3]
        if self.config.channels == 3:
            alpha = np.where(is_background(rgb), 0, 255)
        else:
            alpha = np.where(pictures[..., 3] > FAINT_ALPHA, pictures[..., 3], 0)
            rgb = remove_white(rgb, alpha)
        return np.concatenate([rgb, alpha[..., None].astype(np.uint8)], axis=-1)

    def _single_precision(self, pictures: Tensor) -> torch.autocast:
        """Its activations leave the range of half precision."""
        return torch.autocast(pictures.device.type, enabled=False)

    def _moments(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        shape = (LATENT_CHANNELS, 1, 1)
        mean, std = latents.new_tensor(self.config.latent_mean), latents.new_tensor(self.config.latent_std)
        return mean.reshape(shape), std.reshape(shape)


def is_background(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(..., H, W) from (..., H, W, 3): near white by pix2gestalt's rule, grey level above 250."""
    return np.asarray(grey_level(rgb) > 250)


def grey_level(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(..., H, W), 0 to 255: OpenCV's integer one, with the weights of red and blue exchanged as in the reference."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return np.asarray((3735 * red + 19235 * green + 9798 * blue + (1 << 14)) >> 15)


def remove_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What gives `rgb` (..., H, W, 3) when laid over white with this alpha (..., H, W); white where alpha is 0."""
    opacity = alpha[..., None].astype(np.float32) / 255
    colour = (rgb - 255 * (1 - opacity)) / np.maximum(opacity, 1 / 255)
    return np.where(opacity > 0, colour.clip(0, 255).round(), 255).astype(np.uint8)
