"""Sixteen consistent views of an object from one picture (Liu et al., "SyncDreamer", arXiv 2309.03453)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from diffusers.models.embeddings import get_timestep_embedding
from numpy.typing import NDArray
from torch import Tensor, nn

from unocclude.cameras import AZIMUTHS, TARGET_ELEVATION, VIEW_COUNT, target_cameras
from unocclude.models.autoencoder import LATENT_CHANNELS, Autoencoder, AutoencoderConfig
from unocclude.models.depth_attention import DepthConditionedUNet
from unocclude.models.hollow_guess import HollowGuess
from unocclude.models.image_encoder import ImageEncoder, ImageEncoderConfig
from unocclude.models.schedule import NoiseSchedule, ScheduleConfig
from unocclude.models.unet import UNetConfig
from unocclude.models.view_guess import GuessConfig, Seen, ViewGuess
from unocclude.models.volumes import LATENT_STRIDE, VIEWPOINT_WIDTH, VolumeConfig, Volumes


@dataclass(frozen=True)
class SyncDreamerConfig:
    """`condition_dropout`: in training, the share of objects without any condition, without the input's
    latents, without volumes, and without token, each. Guidance needs some. `guess`: whether each view is told a first
    guess of itself where SyncDreamer tells all of them the input view. `hollows`: of such a network, what tells where
    the object is hollow.
    """

    unet: UNetConfig
    autoencoder: AutoencoderConfig
    image_encoder: ImageEncoderConfig
    schedule: ScheduleConfig
    volumes: VolumeConfig
    condition_dropout: float
    guess: GuessConfig | None = None
    hollows: GuessConfig | None = None

    @classmethod
    def official(cls) -> SyncDreamerConfig:
        return cls(
            unet=UNetConfig.official(),
            autoencoder=AutoencoderConfig.official(),
            image_encoder=ImageEncoderConfig.official(),
            schedule=ScheduleConfig("scaled_linear", "epsilon", precision="single"),  # as the authors compute it
            volumes=VolumeConfig.official(),
            condition_dropout=0.0,
        )

    @classmethod
    def bundled(cls) -> SyncDreamerConfig:
        return cls(
            unet=UNetConfig((32, 48, 64, 64), 1, 4, (False, False, True, False), context=64, groups=8),
            autoencoder=AutoencoderConfig.bundled(),
            image_encoder=ImageEncoderConfig.bundled(),
            schedule=ScheduleConfig("cosine", "v_prediction"),
            volumes=VolumeConfig.bundled(),
            condition_dropout=0.05,
            guess=GuessConfig.bundled(),
            hollows=GuessConfig.bundled_hollows(),
        )


@dataclass(frozen=True)
class InputCondition:
    """The input view: plain latents (B, 4, h, w), image embedding (B, E), camera elevation (B,) in radians; `guess`:
    plain latents (B, 16, 4, h, w) of the views as first guessed, and `hollow`, see `HollowGuess`, where it guesses.
    """

    latents: Tensor
    embedding: Tensor
    elevation: Tensor
    guess: Tensor | None = None
    hollow: Tensor | None = None


@dataclass(frozen=True)
class ViewCondition:
    """What the denoiser is told about N views: latents (N, 4, h, w) of the input or of their guesses, tokens
    (N, 1, C), frustum volumes by side (N, D, depth, side, side).
    """

    latents: Tensor
    context: Tensor
    volumes: dict[int, Tensor]

    def masked(self, keep_latents: Tensor, keep_volumes: Tensor, keep_context: Tensor) -> ViewCondition:
        """Zeros where the (N,) bool masks are false."""

        def mask(values: Tensor, keep: Tensor) -> Tensor:
            return values * keep.reshape(-1, *[1] * (values.ndim - 1))

        volumes = {side: mask(volume, keep_volumes) for side, volume in self.volumes.items()}
        return ViewCondition(mask(self.latents, keep_latents), mask(self.context, keep_context), volumes)

    def with_unconditional(self) -> ViewCondition:
        """These N, then as many with nothing but zeros."""

        def extend(values: Tensor) -> Tensor:
            return torch.cat([values, torch.zeros_like(values)])

        volumes = {side: extend(volume) for side, volume in self.volumes.items()}
        return ViewCondition(extend(self.latents), extend(self.context), volumes)


class SyncDreamer(nn.Module):
    """Views are standardised latents (B, 16, 4, 32, 32) in the order of `cameras.target_cameras`; view 0 has
    the azimuth of the input picture. All views of an object share one timestep.
    """

    azimuths: Tensor

    def __init__(self, config: SyncDreamerConfig) -> None:
        super().__init__()
        self.config = config
        self.volumes = Volumes(config.volumes, torch.from_numpy(target_cameras()).float())
        widths = dict(zip(self.volumes.sides, config.volumes.frustum_widths, strict=True))
        latent_side = config.volumes.picture_size // LATENT_STRIDE
        self.unet = DepthConditionedUNet(config.unet, 2 * LATENT_CHANNELS, LATENT_CHANNELS, latent_side, widths)
        time_width = config.volumes.time_width
        self.time_embedding = nn.Sequential(
            nn.Linear(time_width, time_width), nn.SiLU(), nn.Linear(time_width, time_width)
        )
        self.autoencoder = Autoencoder(config.autoencoder).requires_grad_(False)
        self.image_encoder = ImageEncoder(config.image_encoder)
        self.guess = ViewGuess(config.guess).requires_grad_(False) if config.guess else None
        self.hollows = HollowGuess(config.hollows).requires_grad_(False) if config.hollows else None
        self.projection = nn.Linear(config.image_encoder.embedding + VIEWPOINT_WIDTH, config.unet.context)
        self.schedule = NoiseSchedule(config.schedule)
        self.register_buffer("azimuths", torch.from_numpy(np.deg2rad(AZIMUTHS)).float(), persistent=False)

    def encode_input(
        self, picture: Tensor, elevation: Tensor, generator: torch.Generator | None = None
    ) -> InputCondition:
        """From a picture as `input_view.prepare` makes it, (B, 3 or 4, 256, 256), and the elevation (B,) in
        radians.

        With a generator the latents are drawn from the posterior, as in the reference; without, they are its mean.
        """
        posterior = self.autoencoder.posterior(picture)
        latents = posterior.mode()
        if generator is not None:
            noise = torch.randn(latents.shape, generator=generator).to(latents)
            latents = latents + posterior.std * noise
        guess = hollow = None
        if self.guess is not None and self.hollows is not None:
            seen = Seen(latents, self.guess.known(picture[:, :3]), elevation)
            guess, hollow = self.guess_views(seen), self.hollows(seen)
        return InputCondition(latents, self.image_encoder(picture[:, :3]), elevation, guess, hollow)

    def guess_views(self, seen: Seen) -> Tensor:
        """(B, 16, 4, 32, 32) plain latents, of a network that guesses."""
        assert self.guess is not None
        views = torch.arange(VIEW_COUNT, device=seen.latents.device).expand(len(seen.latents), -1)
        return cast(Tensor, self.guess(seen, views))

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (N, C, 256, 256) of views (N, 4, 32, 32)."""
        return self.autoencoder.decode(latents)

    def to_rgba(self, decoded: Tensor) -> NDArray[np.uint8]:
        """(N, 256, 256, 4) uint8."""
        return self.autoencoder.to_rgba(decoded)

    def viewpoints(self, elevation: Tensor) -> Tensor:
        """(B, 16, 4): [elevation difference, sin, cos of the azimuth difference, 0] of target and input."""
        rise = (elevation - np.deg2rad(TARGET_ELEVATION)).unsqueeze(1).expand(-1, VIEW_COUNT)
        turn = (self.azimuths - self.azimuths[0]).expand_as(rise)
        return torch.stack([rise, turn.sin(), turn.cos(), torch.zeros_like(rise)], dim=-1)

    def embed_time(self, t: Tensor) -> Tensor:
        """(B, T) for the volumes; the UNet has its own."""
        waves = get_timestep_embedding(t, self.config.volumes.time_width, flip_sin_to_cos=True, downscale_freq_shift=0)
        return cast(Tensor, self.time_embedding(waves.to(self.azimuths.dtype)))

    def spatial_volume(self, noisy: Tensor, t: Tensor, condition: InputCondition) -> Tensor:
        """(B, C, n, n, n) from all noisy views (B, 16, 4, 32, 32) at timesteps (B,)."""
        return self.volumes.spatial(noisy, self.embed_time(t), self.viewpoints(condition.elevation))

    def view_condition(self, spatial: Tensor, t: Tensor, condition: InputCondition, indices: Tensor) -> ViewCondition:
        """For the views with these indices (B, K), from the spatial volumes at timesteps (B,)."""
        count = indices.shape[1]
        viewpoints = self.viewpoints(condition.elevation)
        chosen = viewpoints.gather(1, indices.unsqueeze(-1).expand(-1, -1, VIEWPOINT_WIDTH))
        embedding = condition.embedding.unsqueeze(1).expand(-1, count, -1)
        token = self.projection(torch.cat([embedding, chosen], dim=-1))
        if condition.guess is None:
            latents = condition.latents.repeat_interleave(count, 0)
        else:
            rows = torch.arange(len(indices), device=indices.device).unsqueeze(1)
            latents = condition.guess[rows, indices].flatten(0, 1)
        return ViewCondition(
            latents=latents,
            context=token.flatten(0, 1).unsqueeze(1),
            volumes=self.volumes.frustums(spatial, self.embed_time(t), viewpoints, indices),
        )

    def denoise_views(self, x: Tensor, t: Tensor, condition: ViewCondition, guidance: float = 1.0) -> Tensor:
        """Predictions for single noisy views x (N, 4, h, w) at timesteps (N,).

        Classifier-free guidance (arXiv 2207.12598) is against zeros for the whole condition; none at scale 1.
        """
        if guidance == 1:
            return self._predict(x, t, condition)
        both = condition.with_unconditional()
        given, without = self._predict(x.repeat(2, 1, 1, 1), t.repeat(2), both).chunk(2)
        return without + guidance * (given - without)

    def _predict(self, x: Tensor, t: Tensor, condition: ViewCondition) -> Tensor:
        channels = torch.cat([x, condition.latents], dim=1)
        return cast(Tensor, self.unet(channels, t, condition.context, condition.volumes))

    def denoise(
        self, noisy: Tensor, t: Tensor, condition: InputCondition, guidance: float, views_at_once: int = 4
    ) -> Tensor:
        """Predictions for all 16 views. `views_at_once` trades memory for speed and changes nothing else."""
        batch = len(noisy)
        spatial = self.spatial_volume(noisy, t, condition)
        predictions = []
        for chunk in torch.arange(VIEW_COUNT, device=noisy.device).split(views_at_once):
            seen = self.view_condition(spatial, t, condition, chunk.expand(batch, -1))
            times = t.repeat_interleave(len(chunk), 0)
            prediction = self.denoise_views(noisy[:, chunk].flatten(0, 1), times, seen, guidance)
            predictions.append(prediction.unflatten(0, (batch, -1)))
        return torch.cat(predictions, dim=1)

    def training_loss(
        self,
        target: Tensor,
        seen: Seen,
        picture: Tensor,
        generator: torch.Generator,
        views_per_object: int = 1,
        min_snr_gamma: float | None = None,
        high_noise_share: float = 0.0,
    ) -> Tensor:
        """Scalar loss of one batch, from latents that may have been computed beforehand.

        target: (B, 16, 4, 32, 32) standardised. picture: the input view on white, (B, 3, any, any) in [-1, 1]; the
        image encoder is trained along, the guess is not.
        One spatial volume per object serves `views_per_object` supervised views. Draws, on the generator's
        device: what to drop, timesteps, views, noise.
        """
        batch, device = len(target), target.device
        source = generator.device
        drop = torch.rand(batch, generator=generator, device=source).to(device)
        t = self.schedule.draw_timesteps(batch, generator, high_noise_share).to(device)
        order = torch.rand(batch, VIEW_COUNT, generator=generator, device=source).argsort(dim=1)
        indices = order[:, :views_per_object].to(device)
        noise = torch.randn(target.shape, generator=generator, device=source).to(target)
        guess = None if self.guess is None else self.guess_views(seen)
        condition = InputCondition(seen.latents, self.image_encoder(picture), seen.elevation, guess)
        losses = self.denoising_losses(target, condition, t, indices, noise, drop)
        if min_snr_gamma is not None:
            losses = losses * self.schedule.min_snr_weight(t, min_snr_gamma)
        return losses.mean()

    def denoising_losses(
        self,
        target: Tensor,
        condition: InputCondition,
        t: Tensor,
        indices: Tensor,
        noise: Tensor,
        drop: Tensor,
    ) -> Tensor:
        """(B,) mean squared errors over the views `indices` (B, K).

        drop (B,) in [0, 1): its first share loses all conditions, the second the input's latents, the third
        the volumes, the fourth the token.
        """
        noisy = self.schedule.add_noise(target, noise, t)
        spatial = self.spatial_volume(noisy, t, condition)
        count = indices.shape[1]
        share = self.config.condition_dropout
        dropped = (drop / share).floor() if share else torch.full_like(drop, torch.inf)
        seen = self.view_condition(spatial, t, condition, indices).masked(
            *(((dropped != 0) & (dropped != part)).repeat_interleave(count, 0) for part in (1, 2, 3))
        )
        rows = torch.arange(len(target), device=target.device).unsqueeze(1)
        prediction = self.denoise_views(noisy[rows, indices].flatten(0, 1), t.repeat_interleave(count, 0), seen)
        wanted = self.schedule.target(target, noise, t)[rows, indices]
        return (prediction.unflatten(0, indices.shape) - wanted).square().mean(dim=(1, 2, 3, 4))
