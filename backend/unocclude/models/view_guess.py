"""A first guess of the sixteen views: a coloured density volume, imagined from the input view and rendered.

SyncDreamer's denoiser learned from millions of objects how things turn. A small network has not seen them; it gets the
geometry: what it makes of the picture is put where the picture's camera sees it (as in pixelNeRF, arXiv 2012.02190),
and the views are volume renderings (Mildenhall et al., NeRF, arXiv 2003.08934). So they agree with one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.cameras import AZIMUTHS, VIEW_SIZE, target_cameras, world_to_camera
from unocclude.models.autoencoder import LATENT_CHANNELS
from unocclude.models.known_features import KnownFeatures
from unocclude.models.volumes import (
    HALF_DEPTH,
    HALF_EXTENT,
    LATENT_STRIDE,
    frustum_points,
    place_in_frustum,
    unproject,
    volume_vertices,
)

GROUPS = 8
HEADS = 4
SIDE = VIEW_SIZE // LATENT_STRIDE
PIXEL_CENTRE = 0.5
OPACITY = 20.0
"""Density, per unit of the world, where the network says 1."""
FOG = -2.0
"""What it says before training where the picture shows the object: light passes, but the object is seen."""
CLEARING = 4.0
"""How much less it says where the picture shows none."""


@dataclass(frozen=True)
class GuessConfig:
    """`features` names timm's classifier of ImageNet whose maps with 1/16 and 1/32 of the picture's sides are read, of
    `feature_widths` channels. `column_widths`: of the network on the picture, per level, and `deep_layers` at the
    deepest. `depths` and `column_channels`: what it says about the space behind each pixel. `vertices`: of the volume's
    side; `volume_widths`: of the network on it, from half its size on. `samples`: along each ray.
    """

    features: str
    feature_widths: tuple[int, int]
    column_widths: tuple[int, int, int]
    deep_layers: int
    depths: int
    column_channels: int
    vertices: int
    volume_widths: tuple[int, int]
    samples: int

    @classmethod
    def bundled(cls) -> GuessConfig:
        return cls("tf_efficientnet_lite0", (112, 320), (64, 128, 192), 4, 24, 8, 32, (64, 128), 48)

    @classmethod
    def bundled_hollows(cls) -> GuessConfig:
        return replace(cls.bundled(), deep_layers=2, volume_widths=(32, 64))


@dataclass(frozen=True)
class Seen:
    """The input view: plain latents (B, 4, 32, 32), the classifier's maps with 1/16 and 1/32 of its sides, the
    camera's elevation (B,) in radians.
    """

    latents: Tensor
    known: Sequence[Tensor]
    elevation: Tensor


class ViewGuess(nn.Module):
    """Plain latents are taken to be linear in colour and opacity, and zero where there is nothing: those of the small
    autoencoder are block means, less the background.
    """

    frustums: Tensor

    def __init__(self, config: GuessConfig) -> None:
        super().__init__()
        self.config = config
        self.classifier = KnownFeatures(config.features)
        self.columns = ColumnNetwork(config)
        self.volume = VolumeNetwork(config, 1 + 3)
        poses = torch.from_numpy(target_cameras()).float()
        points = frustum_points(poses, SIDE, config.samples, PIXEL_CENTRE) / HALF_EXTENT
        self.register_buffer("frustums", points, persistent=False)

    def known(self, picture: Tensor) -> list[Tensor]:
        """The classifier's two deepest maps of pictures (B, 3, H, W) in [-1, 1]."""
        return self.classifier.maps(picture)[2:]

    def forward(self, seen: Seen, views: Tensor) -> Tensor:
        """(B, K, 4, 32, 32) plain latents of the views with indices (B, K)."""
        return self.render(*self.imagine(seen), views)

    def imagine(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Density (B, 1, n, n, n), not negative, and colour less white (B, 3, n, n, n), -2 to 0."""
        lifted, shown = lift(self.columns(seen), seen, self.config)
        raw = self.volume(lifted)
        opacity = shown[:, 3:] / 2
        density = OPACITY * F.softplus(raw[:, :1] + FOG - CLEARING * (1 - opacity))
        # Before training, colours go straight through the object; beside it, they are its mean.
        mean = seen.latents.sum(dim=(2, 3)) / seen.latents[:, 3:].sum(dim=(2, 3)).clamp(min=1e-3)
        few = 0.1 * mean[:, :, None, None, None]
        less_white = (shown + few)[:, :3] / (shown + few)[:, 3:].clamp(min=1e-3)
        colour = (less_white + 1).clamp(0.01, 0.99).logit() + raw[:, 1:]
        return density, 2 * colour.sigmoid() - 2

    def render(self, density: Tensor, colour: Tensor, views: Tensor) -> Tensor:
        """(B, K, 4, 32, 32) of the views with indices (B, K)."""
        batch, count = views.shape
        points = self.frustums[views].flatten(1, 2)
        samples = F.grid_sample(torch.cat([density, colour], dim=1), points, align_corners=True)
        samples = samples.reshape(batch, 4, count, self.config.samples, SIDE, SIDE)
        optical = samples[:, :1] * (2 * HALF_DEPTH / (self.config.samples - 1))
        before = optical.cumsum(dim=3) - optical
        weights = (-before).exp() * (1 - (-optical).exp())
        shown = (weights * samples[:, 1:]).sum(dim=3)
        return torch.cat([shown, 2 * weights.sum(dim=3)], dim=1).transpose(1, 2)


def lift(columns: Tensor, seen: Seen, config: GuessConfig) -> tuple[Tensor, Tensor]:
    """What a `VolumeNetwork` is given, (B, C, n, n, n): what `columns` say of each place, what the picture shows there,
    and where it is; and, once more, what the picture shows there, (B, 4, n, n, n).
    """
    batch = len(columns)
    vertices = volume_vertices(config.vertices, columns.device)
    places = place_in_frustum(vertices, _input_poses(seen.elevation), SIDE, PIXEL_CENTRE)
    behind = columns.reshape(batch, config.column_channels, config.depths, SIDE, SIDE)
    said = F.grid_sample(behind, places, align_corners=True)
    shown = unproject(seen.latents, places[..., :2])
    where = (vertices / HALF_EXTENT).permute(3, 0, 1, 2).expand(batch, -1, -1, -1, -1)
    return torch.cat([said, shown, where], dim=1), shown


def _input_poses(elevation: Tensor) -> Tensor:
    """(B, 3, 4) world-to-camera matrices of the input views, which have the azimuth of view 0, from (B,) radians."""
    poses = np.stack([world_to_camera(AZIMUTHS[0], degrees) for degrees in elevation.rad2deg().tolist()])
    return torch.from_numpy(poses).float().to(elevation.device)


class ColumnNetwork(nn.Module):
    """A 2D UNet on the picture; its output says what is where behind each pixel."""

    def __init__(self, config: GuessConfig) -> None:
        super().__init__()
        fine, middle, deep = config.column_widths
        self.stem = nn.Conv2d(LATENT_CHANNELS, fine, 3, padding=1)
        self.read_middle, self.read_deep = (
            nn.Sequential(nn.GroupNorm(GROUPS, width), nn.Conv2d(width, out, 1))
            for width, out in zip(config.feature_widths, (middle, deep), strict=True)
        )
        self.elevation = nn.Linear(2, deep)
        self.fine, self.middle = Residual(2, fine), Residual(2, middle)
        self.deep = nn.Sequential(*(Residual(2, deep) for _ in range(config.deep_layers)))
        self.to_middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.to_deep = nn.Conv2d(middle, deep, 3, stride=2, padding=1)
        self.from_deep, self.from_middle = nn.Conv2d(deep, middle, 1), nn.Conv2d(middle, fine, 1)
        self.middle_again, self.fine_again = Residual(2, middle), Residual(2, fine)
        self.out = nn.Sequential(
            nn.GroupNorm(GROUPS, fine), nn.SiLU(), nn.Conv2d(fine, config.depths * config.column_channels, 1)
        )

    def forward(self, seen: Seen) -> Tensor:
        """(B, column_channels * depths, 32, 32)."""
        middle_known, deep_known = seen.known
        fine = self.fine(self.stem(seen.latents))
        middle = self.middle(self.to_middle(fine) + self.read_middle(middle_known))
        upward = self.elevation(torch.stack([seen.elevation.sin(), seen.elevation.cos()], dim=1))
        deep = self.deep(self.to_deep(middle) + self.read_deep(deep_known) + upward[:, :, None, None])
        middle = self.middle_again(middle + _doubled(self.from_deep(deep), "bilinear"))
        return cast(Tensor, self.out(self.fine_again(fine + _doubled(self.from_middle(middle), "bilinear"))))


class VolumeNetwork(nn.Module):
    """A 3D UNet from half the volume's size on; the volume itself joins again at the end, point by point."""

    def __init__(self, config: GuessConfig, channels: int) -> None:
        super().__init__()
        given = config.column_channels + LATENT_CHANNELS + 3
        wide, narrow = config.volume_widths
        out = wide // 2
        self.stem = nn.Conv3d(given, wide, 3, padding=1)
        self.wide, self.wide_again = Residual(3, wide), Residual(3, wide)
        self.down = nn.Conv3d(wide, narrow, 3, stride=2, padding=1)
        self.narrow = nn.Sequential(Residual(3, narrow), Attention(narrow), Residual(3, narrow), Attention(narrow))
        self.up = nn.Conv3d(narrow, wide, 1)
        self.last = nn.Conv3d(wide, out, 1)
        self.joined = nn.Conv3d(out + given, out, 1)  # at full size, a wider one would cost as much as all else
        self.out = nn.Conv3d(out, channels, 1)

    def forward(self, volume: Tensor) -> Tensor:
        """(B, channels, n, n, n) from (B, C, n, n, n)."""
        wide = self.wide(self.stem(F.avg_pool3d(volume, 2)))
        narrow = self.narrow(self.down(wide))
        wide = self.wide_again(wide + _doubled(self.up(narrow), "trilinear"))
        fine = torch.cat([_doubled(self.last(wide), "trilinear"), volume], dim=1)
        return cast(Tensor, self.out(F.silu(self.joined(fine))))


class Residual(nn.Module):
    def __init__(self, dimensions: int, width: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.branch = nn.Sequential(
            nn.GroupNorm(GROUPS, width),
            nn.SiLU(),
            conv(width, width, 3, padding=1),
            nn.GroupNorm(GROUPS, width),
            nn.SiLU(),
            conv(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.branch(x))


class Attention(nn.Module):
    """Every place of a volume looks at every other: what is behind is often like what is in front."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.ask = nn.Conv3d(width, 3 * width, 1)
        self.out = nn.Conv3d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.ask(self.norm(x)).reshape(len(x), 3, HEADS, -1, x[0, 0].numel()).transpose(-1, -2)
        answer = F.scaled_dot_product_attention(*parts.unbind(1)).transpose(-1, -2)
        return cast(Tensor, x + self.out(answer.reshape(x.shape)))


def _doubled(x: Tensor, mode: str) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode=mode)
