"""SyncDreamer's feature volumes (Liu et al., arXiv 2309.03453, section 3.3): what ties the 16 views together.

All noisy views are lifted into one volume around the object (spatial volume), from which each view reads its
own frustum, as a pyramid of (depth, height, width) volumes. Axes are (z, y, x), or (depth, row, column).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.cameras import DISTANCE, VIEW_SIZE, intrinsics
from unocclude.models.autoencoder import LATENT_CHANNELS

VIEWPOINT_WIDTH = 4
GROUPS = 8
HALF_EXTENT = 0.5
"""The volume spans [-0.5, 0.5]^3."""
HALF_DEPTH = 0.86603
"""The frustum spans this much before and behind the origin: the radius of the cube's bounding sphere."""
LATENT_STRIDE = 8


@dataclass(frozen=True)
class VolumeConfig:
    """`vertices`: per side of the spatial volume. `frustum_side`, `frustum_depth`: samples across and along.

    `spatial_widths`, `frustum_widths`: channels per level, each level half as large as the one before.
    `pixel_centre`: where in a pixel of latents or of the frustum its sample sits, 0.5 being the centre; the
    published weights expect 0, the upper left corner. `cameras_in_weights`: whether the geometry is part of the
    weights. The published network was trained with cameras that are a rounding off the true ones, which changes its
    outputs by more than all other rounding together.
    """

    vertices: int
    frustum_side: int
    frustum_depth: int
    view_width: int
    spatial_widths: tuple[int, ...]
    frustum_widths: tuple[int, ...]
    time_width: int
    pixel_centre: float
    picture_size: int = VIEW_SIZE
    cameras_in_weights: bool = False

    @classmethod
    def official(cls) -> VolumeConfig:
        widths = (64, 128, 256, 512)
        return cls(32, 32, 48, 16, widths, widths, 256, pixel_centre=0.0, cameras_in_weights=True)

    @classmethod
    def bundled(cls) -> VolumeConfig:
        return cls(16, 16, 24, 8, (8, 16, 32), (8, 16, 32), 128, pixel_centre=0.5)


class Volumes(nn.Module):
    """The networks and the fixed geometry between views, spatial volume and frustums."""

    view_grid: Tensor
    frustum_grid: Tensor

    def __init__(self, config: VolumeConfig, poses: Tensor) -> None:
        """poses: (V, 3, 4) world-to-camera matrices of the views, float32."""
        super().__init__()
        self.config = config
        self.view_encoder = ViewEncoder(config.view_width, config.time_width)
        self.spatial_network = SpatialNetwork(len(poses) * config.view_width, config.spatial_widths, config.time_width)
        self.frustum_network = FrustumNetwork(config.spatial_widths[0], config.frustum_widths, config.time_width)
        self.register_buffer("view_grid", self.grid_of_views(poses), persistent=config.cameras_in_weights)
        self.register_buffer("frustum_grid", self.grid_of_frustums(poses), persistent=config.cameras_in_weights)

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the frustum volumes, the largest first."""
        return tuple(self.config.frustum_side >> level for level in range(len(self.config.frustum_widths)))

    def spatial(self, views: Tensor, time: Tensor, viewpoints: Tensor) -> Tensor:
        """(B, C, n, n, n) from noisy latents (B, V, 4, h, w), time (B, T) and viewpoints (B, V, 4)."""
        batch, count = views.shape[:2]
        features = self.view_encoder(views.flatten(0, 1), time.repeat_interleave(count, 0), viewpoints.flatten(0, 1))
        lifted = unproject(features, self.view_grid.repeat(batch, 1, 1, 1, 1))
        return self.spatial_network(lifted.reshape(batch, -1, *lifted.shape[2:]), time)

    def grid_of_views(self, poses: Tensor) -> Tensor:
        """(V, n, n, n, 2) where cameras (V, 3, 4) see the vertices, as `grid_sample` takes it."""
        latent_side = self.config.picture_size // LATENT_STRIDE
        vertices = volume_vertices(self.config.vertices, poses.device)
        return place_in_frustum(vertices, poses, latent_side, self.config.pixel_centre)[..., :2]

    def grid_of_frustums(self, poses: Tensor) -> Tensor:
        """(V, depth, side, side, 3) where the frustums of cameras (V, 3, 4) lie in the volume, likewise."""
        config = self.config
        return frustum_points(poses, config.frustum_side, config.frustum_depth, config.pixel_centre) / HALF_EXTENT

    def frustums(self, spatial: Tensor, time: Tensor, viewpoints: Tensor, indices: Tensor) -> dict[int, Tensor]:
        """By side: volumes (B * K, C, depth, side, side) of the views with these indices (B, K) in [0, V)."""
        count = indices.shape[1]
        chosen = viewpoints.gather(1, indices.unsqueeze(-1).expand(-1, -1, VIEWPOINT_WIDTH))
        grid = self.frustum_grid[indices.flatten()]
        samples = F.grid_sample(spatial.float().repeat_interleave(count, 0), grid, align_corners=True)
        levels = self.frustum_network(samples, time.repeat_interleave(count, 0), chosen.flatten(0, 1))
        return dict(zip(self.sides, levels, strict=True))


class ViewEncoder(nn.Module):
    """Noisy latents (N, 4, h, w) of single views to features (N, width, h, w)."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(LATENT_CHANNELS, width, 3, padding=1)
        self.blocks = nn.ModuleList(ViewBlock(width, time_width) for _ in range(3))
        self.out = normalised_conv2d(width)

    def forward(self, views: Tensor, time: Tensor, viewpoint: Tensor) -> Tensor:
        x = self.stem(views)
        for block in self.blocks:
            x = block(x, time, viewpoint)
        return self.out(x)


class ViewBlock(nn.Module):
    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.time = nn.Conv2d(time_width, width, 1)
        self.viewpoint = nn.Conv2d(VIEWPOINT_WIDTH, width, 1)
        self.convs = nn.Sequential(*normalised_conv2d(width), *normalised_conv2d(width))

    def forward(self, x: Tensor, time: Tensor, viewpoint: Tensor) -> Tensor:
        return x + self.convs(x + self.time(time[:, :, None, None]) + self.viewpoint(viewpoint[:, :, None, None]))


def normalised_conv2d(width: int) -> nn.Sequential:
    return nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))


class VolumeBlock(nn.Module):
    """Adds the time (and viewpoint) vector, normalises, convolves; no residual.

    `scale` 0.5 halves the volume's sides, 2 doubles them.
    """

    def __init__(self, inside: int, outside: int, time_width: int, viewpoint_width: int = 0, scale: float = 1) -> None:
        super().__init__()
        self.time = nn.Conv3d(time_width, inside, 1)
        self.viewpoint = nn.Conv3d(viewpoint_width, inside, 1) if viewpoint_width else None
        self.norm = nn.GroupNorm(GROUPS, inside)
        self.conv: nn.Module
        if scale == 2:
            self.conv = nn.ConvTranspose3d(inside, outside, 3, stride=2, padding=1, output_padding=1)
        else:
            self.conv = nn.Conv3d(inside, outside, 3, stride=round(1 / scale), padding=1)

    def forward(self, x: Tensor, time: Tensor, viewpoint: Tensor | None = None) -> Tensor:
        x = x + self.time(time[:, :, None, None, None])
        if self.viewpoint is not None and viewpoint is not None:
            x = x + self.viewpoint(viewpoint[:, :, None, None, None])
        return self.conv(F.silu(self.norm(x)))


class SpatialNetwork(nn.Module):
    """A 3D UNet, time-conditioned: (B, channels, n, n, n) to (B, widths[0], n, n, n)."""

    def __init__(self, channels: int, widths: tuple[int, ...], time_width: int) -> None:
        super().__init__()
        self.stem = nn.Conv3d(channels, widths[0], 3, padding=1)
        self.top = VolumeBlock(widths[0], widths[0], time_width)
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(
            nn.ModuleList(
                [
                    VolumeBlock(wide, narrow, time_width, scale=0.5),
                    VolumeBlock(narrow, narrow, time_width),
                    VolumeBlock(narrow, narrow, time_width),
                ]
            )
            for wide, narrow in steps
        )
        self.up = nn.ModuleList(VolumeBlock(narrow, wide, time_width, scale=2) for wide, narrow in reversed(steps))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        x = self.top(self.stem(x), time)
        skips = []
        for level in self.down:
            skips.append(x)
            for block in level:  # type: ignore[attr-defined]
                x = block(x, time)
        for block in self.up:
            x = skips.pop() + block(x, time)
        return x


class FrustumNetwork(nn.Module):
    """A 3D UNet, conditioned on time and viewpoint, that gives all levels: (N, widths[i], D/2^i, S/2^i, S/2^i)."""

    def __init__(self, channels: int, widths: tuple[int, ...], time_width: int) -> None:
        super().__init__()

        def block(inside: int, outside: int, scale: float = 1) -> VolumeBlock:
            return VolumeBlock(inside, outside, time_width, VIEWPOINT_WIDTH, scale)

        self.stem = nn.Conv3d(channels, widths[0], 3, padding=1)
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(
            nn.ModuleList([block(wide, narrow, 0.5), block(narrow, narrow)]) for wide, narrow in steps
        )
        self.up = nn.ModuleList(block(narrow, wide, 2) for wide, narrow in reversed(steps))

    def forward(self, x: Tensor, time: Tensor, viewpoint: Tensor) -> list[Tensor]:
        levels = [self.stem(x)]
        for level in self.down:
            x = levels[-1]
            for block in level:  # type: ignore[attr-defined]
                x = block(x, time, viewpoint)
            levels.append(x)
        for i, block in zip(reversed(range(len(levels) - 1)), self.up, strict=True):
            levels[i] = levels[i] + block(levels[i + 1], time, viewpoint)
        return levels


def volume_vertices(count: int, device: torch.device | str = "cpu") -> Tensor:
    """(count, count, count, 3) world points (x, y, z) over axes (z, y, x), the cube's ends included."""
    line = torch.linspace(-HALF_EXTENT, HALF_EXTENT, count, device=device)
    return torch.stack(torch.meshgrid(line, line, line, indexing="ij")[::-1], dim=-1)


# In single precision and through the inverse of the whole matrix, as in the reference: the published network was
# trained with these very places, rounding included.


@torch.autocast("cpu", enabled=False)
def project(points: Tensor, poses: Tensor, side: int, pixel_centre: float) -> Tensor:
    """(V, ..., 2) positions, in pixel indices of square pictures, of world points (..., 3)."""
    matrices = _projections(poses, side)[:, :3]
    image = matrices[..., :3] @ points.reshape(-1, 3).T + matrices[..., 3:]
    pixels = image[:, :2] / image[:, 2:].clamp(min=1e-4) - pixel_centre
    return pixels.transpose(1, 2).reshape(len(poses), *points.shape[:-1], 2)


def unproject(features: Tensor, grid: Tensor) -> Tensor:
    """(N, C, n, n, n): at each vertex what each view (N, C, h, w) shows there, seen or hidden; grid (N, n, n, n, 2)."""
    # In single precision always: as halves, the places would be off by a hundredth of a pixel.
    samples = F.grid_sample(features.float(), grid.flatten(1, 2), align_corners=True)
    return samples.reshape(*features.shape[:2], *grid.shape[1:4])


def place_in_frustum(points: Tensor, poses: Tensor, side: int, pixel_centre: float) -> Tensor:
    """(V, ..., 3) where world points (..., 3) lie in the frustums (depth, side, side) of cameras (V, 3, 4), as
    `grid_sample` takes it: the inverse of `frustum_points`.
    """
    pixels = project(points, poses, side, pixel_centre) / ((side - 1) / 2) - 1
    depth = points @ poses[:, 2, :3].T + poses[:, 2, 3]
    return torch.cat([pixels, ((depth.movedim(-1, 0) - DISTANCE) / HALF_DEPTH).unsqueeze(-1)], dim=-1)


def frustum_points(poses: Tensor, side: int, depths: int, pixel_centre: float) -> Tensor:
    """(V, depths, side, side, 3) world points behind the pixels, at equal steps of depth from near to far."""
    near, far = DISTANCE - HALF_DEPTH, DISTANCE + HALF_DEPTH
    depth = torch.linspace(0, 1, depths, device=poses.device) * (far - near) + near
    index = torch.arange(side, device=poses.device) + pixel_centre
    z, v, u = torch.meshgrid(depth, index, index, indexing="ij")
    image = torch.stack([u * z, v * z, z], dim=-1).reshape(-1, 3)
    matrices = torch.linalg.inv(_projections(poses, side))[:, :3]
    world = matrices[..., :3] @ image.T + matrices[..., 3:]
    return world.transpose(1, 2).reshape(len(poses), depths, side, side, 3)


def _projections(poses: Tensor, side: int) -> Tensor:
    """(V, 4, 4): from world points (x, y, z, 1) to (u d, v d, d, 1), pixel indices u, v and depth d."""
    matrices = torch.eye(4, device=poses.device).repeat(len(poses), 1, 1)
    matrices[:, :3] = torch.from_numpy(intrinsics(side)).to(poses) @ poses
    return matrices
