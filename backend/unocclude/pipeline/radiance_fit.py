"""Sixteen views to a radiance field and from there to a surface: SyncDreamer's other renderer, for comparison.

SyncDreamer only draws pictures of its field. Nothing holds a field back from being fog, so the surface found in it is
rougher than that of a signed distance.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unocclude.models.radiance import RadianceField, render
from unocclude.pipeline.first_guess import first_guess
from unocclude.pipeline.hull import base_height
from unocclude.pipeline.meshing import Grid, extract_surface
from unocclude.pipeline.surface import CPU, MARGIN, outlined_hull, view_rays
from unocclude.pipeline.types import Mask, Progress, Surface, ViewSet, no_progress

POINTS = 600_000
STEPS, RAYS = 400, 2048
SAMPLES = (48, 24)
RATE, FINAL_RATE = 0.05, 0.1
"""Adam's learning rate, and its share at the end."""
SOLID_DENSITY, FOG_DENSITY = 2.0, 0.02
"""Inside and outside the shape to begin with. From fog alone, hundreds of steps only lead to other fog."""
COLOUR_WEIGHT, OPACITY_WEIGHT, ROUGHNESS_WEIGHT = 5.0, 10.0, 0.3
"""SyncDreamer gives opacity 10 and colour 0.5, and twenty times the rays. Roughness is the total variation of what
voxels block."""
SOLID = math.log(2)
"""The density whose voxels let half the light pass: where the surface is said to be."""
FACES = 24_000


def fit_radiance_surface(
    views: ViewSet, seed: int = 0, device: torch.device = CPU, progress: Progress = no_progress
) -> Surface:
    """A fitted field where its voxels are half opaque, closed at the base. Raises InputError as `fit_surface` does."""
    hull, low, high = outlined_hull(views)
    grid = Grid.around(low - MARGIN, high + MARGIN, POINTS)
    distance = hull.distance(grid)
    guess = first_guess(grid.above(low[2], distance), grid, views).sdf
    field = fit_field(views, grid, guess, distance < MARGIN, seed, device, progress)
    with torch.no_grad():
        sdf = ((SOLID - field.density()) / SOLID).clamp(-1, 1).cpu().numpy() * np.float32(grid.voxel)
    base = base_height(extract_surface(sdf, grid, FACES), hull.silhouettes)
    return extract_surface(grid.above(base, sdf), grid, FACES)


def fit_field(
    views: ViewSet,
    grid: Grid,
    guess: NDArray[np.float32],
    allowed: Mask,
    seed: int = 0,
    device: torch.device = CPU,
    progress: Progress = no_progress,
    steps: int = STEPS,
) -> RadianceField:
    """A field that looks like the views, on `grid`, from a signed distance `guess` on, within `allowed` (X, Y, Z)."""
    random = torch.Generator().manual_seed(seed)
    low, high = (torch.from_numpy(corner).float().to(device) for corner in (grid.origin, grid.high))
    density = torch.from_numpy(np.where(guess < 0, SOLID_DENSITY, FOG_DENSITY).astype(np.float32))
    field = RadianceField(density.to(device), torch.from_numpy(allowed).to(device), low, high)
    rays = view_rays(views, grid.voxel, device)
    near, far = field.box_range(rays.origins, rays.directions)
    meet = far > near
    rays, near, far = rays[meet], near[meet], far[meet]
    optimiser = torch.optim.Adam(field.parameters(), RATE, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, FINAL_RATE, steps)
    for step in range(steps):
        index = torch.randint(len(rays), (RAYS,), generator=random).to(device)
        jitter = torch.rand(RAYS, 2, generator=random).to(device)
        some = rays[index]
        density = field.density()
        seen = render(field, density, some.origins, some.directions, near[index], far[index], SAMPLES, jitter)
        loss = (
            COLOUR_WEIGHT * (seen.colour - some.colour).square().sum(1).mean()
            + OPACITY_WEIGHT * (seen.opacity - some.opacity).square().mean()
            + ROUGHNESS_WEIGHT * _roughness(density)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
        progress("mesh", step + 1, steps)
    return field


def _roughness(density: Tensor) -> Tensor:
    """Total variation of what voxels block, (X, Y, Z) densities: fog and holes cost, how solid a solid is does not."""
    blocked = -torch.expm1(-density)
    steps = (blocked.diff(dim=axis).abs().mean() for axis in range(3))
    return sum(steps, density.new_zeros(()))
