"""Sixteen views to a closed surface: a visual hull, refined by differentiable rendering (NeuS)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from unocclude.cameras import FOCAL, VIEW_SIZE, target_cameras
from unocclude.errors import InputError
from unocclude.models.neus import NeuralSurface, box_range, place_samples, render
from unocclude.pipeline.hull import Silhouettes, base_height, hull_box, hull_distance
from unocclude.pipeline.meshing import Grid, extract_surface
from unocclude.pipeline.types import Image, Progress, Surface, ViewSet, no_progress

MARGIN = 0.04
"""How far the surface may leave the hull's box: the outlines of generated views are off by some pixels."""
RING = 6
"""Pixels around a silhouette whose rays take part: they hold the surface back from growing."""
COARSE_SAMPLES, FINE_SAMPLES = 40, 28
START_SHARPNESS = 60.0
PREVIEWS = 8
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Effort:
    """How much work a preset does: lattice points and steps of each pass, coarse to fine; rays a step; faces."""

    points: tuple[int, ...]
    steps: tuple[int, ...]
    rays: int
    faces: int


EFFORTS = {
    "fast": Effort((60_000, 300_000), (150, 100), 2048, 16_000),
    "balanced": Effort((80_000, 600_000), (250, 200), 2048, 24_000),
    "quality": Effort((80_000, 600_000, 2_400_000), (300, 500, 300), 4096, 60_000),
}


@dataclass(frozen=True)
class Rays:
    """Rays with what they should see: origins, directions, premultiplied colour (N, 3); opacity (N,)."""

    origins: Tensor
    directions: Tensor
    colour: Tensor
    opacity: Tensor

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, index: Tensor) -> Rays:
        return Rays(self.origins[index], self.directions[index], self.colour[index], self.opacity[index])


def fit_surface(
    views: ViewSet,
    preset: str = "balanced",
    seed: int = 0,
    device: torch.device = CPU,
    progress: Progress = no_progress,
) -> Surface:
    """Fit a closed surface to the views. `preset`: fast, balanced or quality.

    The same views, seed and CPU give the same mesh. Raises InputError if the views share no solid shape.
    """
    effort = EFFORTS[preset]
    generator = torch.Generator().manual_seed(seed)
    shown = (views.rgba[..., 3] > 127).mean((1, 2)) > 0.001
    silhouettes = Silhouettes(views.rgba[shown, ..., 3] > 127, target_cameras()[shown])
    try:
        low, high = hull_box(silhouettes)
    except ValueError as error:
        raise InputError("The views' outlines have no solid shape in common.", "Try another seed.") from error

    rays = _rays(views.rgba[shown], silhouettes, device)
    grid = Grid.around(low - MARGIN, high + MARGIN, effort.points[0])
    hull = hull_distance(silhouettes, grid)
    base = base_height(extract_surface(hull, grid, effort.faces), silhouettes)
    low[2] = base
    grid = Grid.around(low - MARGIN, high + MARGIN, effort.points[0])
    sdf = torch.from_numpy(_above(hull_distance(silhouettes, grid), grid, base)).to(device)
    colour = rays.colour[rays.opacity > 0.99].mean(0)[:, None, None, None].expand(3, *grid.shape)

    done, total = 0, sum(effort.steps)
    for points, steps in zip(effort.points, effort.steps, strict=True):
        finer = Grid.around(low - MARGIN, high + MARGIN, points)
        sdf, colour = _resample(sdf[None], finer.shape)[0], _resample(colour, finer.shape)
        grid = finer
        surface = NeuralSurface(sdf, colour, _tensor(grid.origin, device), _tensor(grid.high, device), START_SHARPNESS)
        _fit(surface, rays, steps, effort.rays, generator, lambda i: progress("mesh", done + i, total))  # noqa: B023
        done += steps
        sdf = surface.signed_distance().detach()[0, 0]
        colour = torch.sigmoid(surface.colour_logits.detach())[0]
    fitted = sdf.cpu().numpy()
    return extract_surface(_above(fitted, grid, base), grid, effort.faces)


def _fit(surface, rays, steps, batch, generator, report) -> None:
    optimiser = torch.optim.Adam(
        [
            {"params": list(surface.corrections), "lr": 0.05},
            {"params": [surface.colour_logits], "lr": 0.15},
            {"params": [surface.log_sharpness], "lr": 0.01},
        ],
        betas=(0.9, 0.95),
    )
    near, far = box_range(rays.origins, rays.directions, surface.low, surface.high)
    for step in range(steps):
        index = torch.randint(len(rays), (batch,), generator=generator).to(near.device)
        some = rays[index]
        volume = surface.volume()
        distances = place_samples(
            surface,
            volume[:, :1].detach(),
            some.origins,
            some.directions,
            near[index],
            far[index],
            COARSE_SAMPLES,
            FINE_SAMPLES,
            generator,
        )
        seen = render(surface, volume, some.origins, some.directions, distances)
        loss = (
            ((seen.colour - some.colour).square().sum(1) + 1e-3).sqrt().mean()
            + 1.0 * (seen.opacity - some.opacity).square().mean()
            + regularity(volume[0, 0], surface.voxel)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        report(step + 1)


def regularity(sdf: Tensor, voxel: float) -> Tensor:
    """Eikonal loss and curvature of a signed distance (X, Y, Z), near its zero level."""
    dx = (sdf[1:, :-1, :-1] - sdf[:-1, :-1, :-1]) / voxel
    dy = (sdf[:-1, 1:, :-1] - sdf[:-1, :-1, :-1]) / voxel
    dz = (sdf[:-1, :-1, 1:] - sdf[:-1, :-1, :-1]) / voxel
    eikonal = ((dx.square() + dy.square() + dz.square() + 1e-6).sqrt() - 1).square().mean()
    near = (sdf[1:-1, 1:-1, 1:-1].detach().abs() < 4 * voxel).float()
    inner = sdf[1:-1, 1:-1, 1:-1]
    laplacian = (
        sdf[2:, 1:-1, 1:-1]
        + sdf[:-2, 1:-1, 1:-1]
        + sdf[1:-1, 2:, 1:-1]
        + sdf[1:-1, :-2, 1:-1]
        + sdf[1:-1, 1:-1, 2:]
        + sdf[1:-1, 1:-1, :-2]
        - 6 * inner
    ) / voxel
    bend = (laplacian.square() * near).sum() / near.sum().clamp_min(1)
    return 0.1 * eikonal + 0.02 * bend


def _rays(rgba: Image, silhouettes: Silhouettes, device: torch.device) -> Rays:
    """All rays through the silhouettes and the ring around them."""
    parts: list[tuple[NDArray[np.float64], ...]] = []
    for picture, mask, camera in zip(rgba, silhouettes.masks, silhouettes.cameras, strict=True):
        rows, columns = np.nonzero(ndimage.binary_dilation(mask, iterations=RING))
        local = np.stack([columns + 0.5 - VIEW_SIZE / 2, rows + 0.5 - VIEW_SIZE / 2, np.full(len(rows), FOCAL)], 1)
        directions = local / np.linalg.norm(local, axis=1, keepdims=True) @ camera[:, :3]
        origin = -camera[:, :3].T @ camera[:, 3]
        pixels = picture[rows, columns] / 255.0
        parts.append(
            (np.broadcast_to(origin, directions.shape), directions, pixels[:, :3] * pixels[:, 3:], pixels[:, 3])
        )
    origins, directions, colour, opacity = (_tensor(np.concatenate(p), device) for p in zip(*parts, strict=True))
    return Rays(origins, directions, colour, opacity)


def _above(sdf: NDArray[np.float32], grid: Grid, base: float) -> NDArray[np.float32]:
    """`sdf` cut flat at the base."""
    return np.maximum(sdf, (base - grid.points()[..., 2]).astype(np.float32))


def _resample(values: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(C, X, Y, Z) values on another lattice over the same box."""
    return F.interpolate(values[None], shape, mode="trilinear", align_corners=True)[0]


def _tensor(values: NDArray[np.floating], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)
