"""Amodal completion by latent diffusion (Ozguroglu et al., "pix2gestalt", arXiv 2401.14398).

The denoiser sees, next to the noisy latents of the whole object, the latents of the occluded picture and of
the visible mask (concatenated: z_t, picture, mask), and one token with the picture's embedding (cross-attention).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.models.autoencoder import LATENT_CHANNELS, Autoencoder, AutoencoderConfig
from unocclude.models.image_encoder import ImageEncoder, ImageEncoderConfig
from unocclude.models.known_features import KnownFeatures
from unocclude.models.schedule import NoiseSchedule, ScheduleConfig
from unocclude.models.unet import UNetConfig

FEATURE_CHANNELS = 24
"""Channels in which a classifier's maps join the condition."""
READER_WIDTH = 48


@dataclass(frozen=True)
class Pix2GestaltConfig:
    """`projection_bias`: without it, the token of a dropped picture is zero in training as it is in guidance.

    `condition_dropout`: the shares of training samples without token, without latents, and without both.
    `features` names timm's classifier of ImageNet whose maps join the condition's latents; pix2gestalt has none.
    `colour_trust`: how far the colours of the hidden part are believed; the rest is carried on from the visible part.
    """

    unet: UNetConfig
    autoencoder: AutoencoderConfig
    image_encoder: ImageEncoderConfig
    schedule: ScheduleConfig
    projection_bias: bool
    condition_dropout: float = 0.05
    features: str = ""
    colour_trust: float = 1.0

    @classmethod
    def official(cls) -> Pix2GestaltConfig:
        return cls(
            unet=UNetConfig.official(),
            autoencoder=AutoencoderConfig.official(),
            image_encoder=ImageEncoderConfig.official(),
            schedule=ScheduleConfig("scaled_linear", "epsilon"),
            projection_bias=True,
        )

    @classmethod
    def bundled(cls) -> Pix2GestaltConfig:
        return cls(
            unet=UNetConfig((32, 64, 128, 160), 1, 4, (False, False, True, False), context=128, groups=8),
            autoencoder=AutoencoderConfig.bundled(),
            image_encoder=ImageEncoderConfig.bundled(),
            schedule=ScheduleConfig("cosine", "v_prediction"),
            projection_bias=False,
            features="tf_efficientnet_lite0",
            colour_trust=0.1,
        )


@dataclass(frozen=True)
class CompletionCondition:
    """What the denoiser is told: latents (B, 8, h, w) of picture and mask, one context token (B, 1, C).

    Where known features are read, they are FEATURE_CHANNELS more channels of the latents.
    """

    latents: Tensor
    context: Tensor

    def repeat(self, samples: int) -> CompletionCondition:
        """Each condition `samples` times in a row."""
        return CompletionCondition(
            self.latents.repeat_interleave(samples, 0), self.context.repeat_interleave(samples, 0)
        )

    def split(self, size: int) -> list[CompletionCondition]:
        """In parts of at most `size` samples."""
        parts = zip(self.latents.split(size), self.context.split(size), strict=True)
        return [CompletionCondition(latents, context) for latents, context in parts]


class KnownChannels(KnownFeatures):
    """A classifier's maps of 1/8, 1/16 and 1/32 of the picture's sides as further channels beside the latents.

    The latents of a small autoencoder tell colours only; what is an object and where it ends, the classifier knows.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.readers = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(8, width), nn.Conv2d(width, READER_WIDTH, 1)) for width in self.widths[1:]
        )
        self.joined = nn.Sequential(nn.SiLU(), nn.Conv2d(READER_WIDTH, FEATURE_CHANNELS, 3, padding=1))

    def known(self, pictures: Tensor) -> list[Tensor]:
        """The maps of pictures (B, 3, H, W) in [-1, 1], which is also how this classifier likes them."""
        return self.maps(pictures)[1:]

    def read(self, known: Sequence[Tensor]) -> Tensor:
        """(B, FEATURE_CHANNELS, H / 8, W / 8) from what `known` gave."""
        size = known[0].shape[2:]
        levels = [read(level) for read, level in zip(self.readers, known, strict=True)]
        return cast(Tensor, self.joined(sum(F.interpolate(level, size, mode="bilinear") for level in levels)))


class Pix2Gestalt(nn.Module):
    """Pictures are float in [-1, 1], (B, C, H, W), H and W multiples of 64; latents (B, 4, H/8, W/8),
    standardised.

    The condition's latents are the autoencoder's plain ones: neither standardised nor sampled.
    """

    def __init__(self, config: Pix2GestaltConfig) -> None:
        super().__init__()
        self.config = config
        self.known = KnownChannels(config.features) if config.features else None
        more = FEATURE_CHANNELS if config.features else 0
        self.unet = config.unet.build(3 * LATENT_CHANNELS + more, LATENT_CHANNELS)
        self.autoencoder = Autoencoder(config.autoencoder).requires_grad_(False)
        self.image_encoder = ImageEncoder(config.image_encoder)
        self.projection = nn.Linear(config.image_encoder.embedding, config.unet.context, bias=config.projection_bias)
        self.schedule = NoiseSchedule(config.schedule)

    def encode_condition(self, picture: Tensor, mask: Tensor) -> CompletionCondition:
        """From the occluded picture (B, 3, H, W) and the visible mask (B, 1, H, W), +1 inside, -1 outside."""
        picture_latents = self.autoencoder.posterior(picture).mode()
        latents = torch.cat([picture_latents, self.autoencoder.posterior(mask).mode()], dim=1)
        if self.known is not None:
            latents = torch.cat([latents, self.known.read(self.known.known(picture))], dim=1)
        return CompletionCondition(latents, self.context(picture))

    def context(self, picture: Tensor) -> Tensor:
        """(B, 1, C) token of the whole occluded picture (B, 3, any, any)."""
        return cast(Tensor, self.projection(self.image_encoder(picture))).unsqueeze(1)

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents of pictures of whole objects on white."""
        return self.autoencoder.encode(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents)

    def to_rgba(self, decoded: Tensor) -> NDArray[np.uint8]:
        """(B, H, W, 4) uint8: the object with its silhouette, from decoded pictures."""
        return self.autoencoder.to_rgba(decoded)

    def denoise(self, z_t: Tensor, t: Tensor, condition: CompletionCondition) -> Tensor:
        """The prediction (noise or v, as the schedule says) for z_t (B, 4, h, w) at timesteps (B,)."""
        channels = torch.cat([z_t, condition.latents], dim=1)
        return cast(Tensor, self.unet(channels, t, condition.context).sample)

    def guided(self, z_t: Tensor, t: Tensor, condition: CompletionCondition, scale: float) -> Tensor:
        """Classifier-free guidance (arXiv 2207.12598) against an all-zero condition; none at scale 1."""
        if scale == 1:
            return self.denoise(z_t, t, condition)
        both = CompletionCondition(
            torch.cat([torch.zeros_like(condition.latents), condition.latents]),
            torch.cat([torch.zeros_like(condition.context), condition.context]),
        )
        without, given = self.denoise(z_t.repeat(2, 1, 1, 1), t.repeat(2), both).chunk(2)
        return without + scale * (given - without)

    def training_loss(
        self,
        target: Tensor,
        condition_latents: Tensor,
        picture: Tensor,
        generator: torch.Generator,
        min_snr_gamma: float | None = None,
        high_noise_share: float = 0.0,
    ) -> Tensor:
        """Scalar loss of one batch, from latents that may have been computed beforehand.

        target: standardised latents of whole objects, as from `encode`. condition_latents: (B, 8 or more, h, w), as
        in `encode_condition`. picture: the occluded picture at any size; the image encoder is trained along.
        Draws, on the generator's device: what to drop, timesteps, noise.
        """
        batch = target.shape[0]
        drop = torch.rand(batch, generator=generator, device=generator.device)
        t = self.schedule.draw_timesteps(batch, generator, high_noise_share).to(target.device)
        noise = torch.randn(target.shape, generator=generator, device=generator.device).to(target)
        condition = self.training_condition(condition_latents, picture, drop.to(target.device))
        losses = self.denoising_losses(target, condition, t, noise)
        if min_snr_gamma is not None:
            losses = losses * self.schedule.min_snr_weight(t, min_snr_gamma)
        return losses.mean()

    def training_condition(self, latents: Tensor, picture: Tensor, drop: Tensor) -> CompletionCondition:
        """Drops the token, both, or the latents where `drop` (B,) in [0, 1) is in its first, second, third share."""
        share = self.config.condition_dropout
        keep_context = drop >= 2 * share
        keep_latents = (drop < share) | (drop >= 3 * share)
        # As published, the embedding is dropped before the projection, whose bias then remains.
        embedding = self.image_encoder(picture) * keep_context.unsqueeze(1)
        context = self.projection(embedding).unsqueeze(1)
        return CompletionCondition(latents * keep_latents.reshape(-1, 1, 1, 1), context)

    def denoising_losses(self, target: Tensor, condition: CompletionCondition, t: Tensor, noise: Tensor) -> Tensor:
        """(B,) mean squared errors of the prediction."""
        prediction = self.denoise(self.schedule.add_noise(target, noise, t), t, condition)
        return (prediction - self.schedule.target(target, noise, t)).square().mean(dim=(1, 2, 3))
