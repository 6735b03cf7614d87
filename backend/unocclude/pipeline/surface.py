"""Sixteen views to a closed surface: the visual hull, refined by differentiable rendering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from unocclude.cameras import (
    DISTANCE,
    FOCAL,
    TARGET_ELEVATION,
    VIEW_SIZE,
    pixel_rays,
    target_cameras,
    world_to_camera,
)
from unocclude.errors import InputError
from unocclude.models.neus import NeuralSurface, place_samples, render
from unocclude.pipeline.first_guess import first_guess, smooth_colours
from unocclude.pipeline.hull import Silhouettes, VisualHull, base_height
from unocclude.pipeline.meshing import Grid, extract_surface
from unocclude.pipeline.types import Image, Progress, Surface, ViewSet, no_progress
from unocclude.protocol import Preset

MARGIN = 0.04
"""How far the surface may leave the hull: the outlines of generated views are off by some pixels. Farther out, where no
rays pass, views that contradict one another would put matter that only one of them sees."""
HOLLOW_MARGIN = 0.01
"""How far the surface may grow into a hollow that is told: soft views let light through walls, which would thicken."""
RING = 6
"""Pixels around a silhouette whose rays take part: they hold the surface back from growing."""
GUESS_POINTS = 300_000
"""Lattice points of the shape to begin with: its walls must not have holes."""
COARSE_SAMPLES, FINE_SAMPLES = 64, 16
"""Along a ray. The coarse ones must not step over a thin wall: the fit would thicken it until they cannot."""
START_SHARPNESS = 600.0
"""Per unit of length. In the middle of a wall as thick as four hundredths, what lies behind it must be hidden: a softer
surface lets it through there, and the fit would thicken the wall until it no longer does. Views that contradict one
another soften it within a few steps."""
OPACITY_WEIGHT, EIKONAL_WEIGHT, BENDING_WEIGHT = 1.0, 0.1, 0.05
RIDGE = 0.7
"""Slope of the signed distance, measured across two voxels, below which it is near the ridge between two surfaces."""
CREASE = 0.15
"""Bends, in voxels, that count by their square; sharper ones count in proportion, so that edges stay."""
AGREEMENT = 0.05
"""Mean difference in colour between agreeing views and the surface. Where they differ more, bending weighs more, by the
square: the weight of evidence is the inverse of its variance."""
SHAPE_RATE, COLOUR_RATE, SHARPNESS_RATE = 0.1, 0.15, 0.1
FINAL_RATE = 0.1
"""Learning rate at the end of a pass over the one at its start: steps shrink, the surface comes to rest."""
PATIENCE = 60
"""Steps over which the loss must fall by one part in a hundred, or a pass ends early."""
PREVIEW_EVERY, PREVIEW_SIZE = 50, 96
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Effort:
    """How much work a preset does: lattice points and steps of each pass, coarse to fine; rays a step; faces.

    No pass is too coarse for thin walls: it would close or tear them.
    """

    points: tuple[int, ...]
    steps: tuple[int, ...]
    rays: int
    faces: int


EFFORTS: dict[Preset, Effort] = {
    "fast": Effort((300_000,), (100,), 1536, 12_000),
    "balanced": Effort((600_000,), (250,), 4096, 24_000),
    "quality": Effort((600_000, 2_400_000), (300, 300), 4096, 60_000),
}


@dataclass(frozen=True)
class Rays:
    """Rays and what they should see: origins, directions, premultiplied colour (N, 3); opacity (N,)."""

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
    preset: Preset = "balanced",
    seed: int = 0,
    device: torch.device = CPU,
    progress: Progress = no_progress,
    base: float | None = None,
) -> Surface:
    """A closed surface that looks like the views, cut flat at the base that it stands on: z = `base`, if it is given.

    Views without foreground are left out. The same views, preset, seed and CPU give the same mesh. Raises InputError if
    the views have no solid shape in common.
    """
    effort = EFFORTS[preset]
    hull, low, high = outlined_hull(views)
    grid = Grid.around(low - MARGIN, high + MARGIN, GUESS_POINTS)
    guess = first_guess(grid.above(low[2], hull.distance(grid)), grid, views)
    low, high = grid.box(guess.sdf < 0)
    low, high = low - MARGIN, high + MARGIN

    random = torch.Generator().manual_seed(seed)
    total, done = sum(effort.steps), 0

    def report(step: int, preview: Image | None) -> None:
        progress("mesh", done + step, total, preview)

    neural = _unfitted(_tensor(guess.sdf, device), grid)
    detail = hull.silhouettes.detail * DISTANCE / FOCAL
    for points, steps in zip(effort.points, effort.steps, strict=True):
        grid = Grid.around(low, high, points)
        within_hull = grid.above(low[2] + MARGIN, hull.distance(grid)) - MARGIN
        bound = np.maximum(within_hull, guess.kept_empty(grid) - HOLLOW_MARGIN)
        neural = _on_lattice(neural, grid, _tensor(bound, device), detail)
        rays = view_rays(views, grid.voxel, device)
        _fit(neural, rays, steps, effort.rays, random, report)
        done += steps

    fitted = neural.signed_distance().detach().cpu().numpy()
    if base is None:
        base = base_height(extract_surface(fitted, grid, effort.faces), hull.silhouettes)
    return extract_surface(grid.above(base, fitted), grid, effort.faces)


def outlined_hull(views: ViewSet) -> tuple[VisualHull, NDArray[np.float64], NDArray[np.float64]]:
    """The visual hull and the low and high corner (3,) of what may be of the object in it.

    Raises InputError if the views have no solid shape in common.
    """
    try:
        hull = VisualHull.of(Silhouettes.of(views))
        low, high = hull.box()
    except ValueError as error:
        raise InputError(
            "The outlines of the views have no solid shape in common.", "Try another seed, or correct the views."
        ) from error
    if high[2] > 0:  # A centred object reaches no lower than it rises; the hull does, in the cone below all cameras.
        low[2] = max(low[2], -high[2])
    return hull, low, high


def regularity(sdf: Tensor, voxel: float) -> tuple[Tensor, Tensor]:
    """How far a signed distance (X, Y, Z) is from slope 1, and how much it bends near its zero level.

    The crease in the middle of a thin wall is no bend of the surface, and does not count.
    """
    here = sdf[:-1, :-1, :-1]
    steps = (sdf[1:, :-1, :-1] - here, sdf[:-1, 1:, :-1] - here, sdf[:-1, :-1, 1:] - here)
    slope = (steps[0].square() + steps[1].square() + steps[2].square() + 1e-6 * voxel**2).sqrt() / voxel
    eikonal = (slope - 1).square().mean()
    inner = sdf[1:-1, 1:-1, 1:-1]
    neighbours = (
        (sdf[2:, 1:-1, 1:-1], sdf[:-2, 1:-1, 1:-1]),
        (sdf[1:-1, 2:, 1:-1], sdf[1:-1, :-2, 1:-1]),
        (sdf[1:-1, 1:-1, 2:], sdf[1:-1, 1:-1, :-2]),
    )
    laplacian = (torch.stack([after + before for after, before in neighbours]).sum(0) - 6 * inner) / voxel
    with torch.no_grad():
        across = torch.stack([after - before for after, before in neighbours]).norm(dim=0) / (2 * voxel)
        near = ((inner.abs() < 4 * voxel) & (across > RIDGE)).float()
    bend = (laplacian.square() + CREASE**2).sqrt() - CREASE
    return eikonal, (bend * near).sum() / near.sum().clamp_min(1)


def _fit(
    neural: NeuralSurface,
    rays: Rays,
    steps: int,
    batch: int,
    random: torch.Generator,
    report: Callable[[int, Image | None], None],
) -> None:
    """Adam on colour, opacity, eikonal and bending losses, until `steps` or until the loss no longer falls."""
    near, far = neural.box_range(rays.origins, rays.directions)
    meet = far > near
    rays, near, far = rays[meet], near[meet], far[meet]
    optimiser = torch.optim.Adam(
        [
            {"params": list(neural.corrections), "lr": SHAPE_RATE},
            {"params": [neural.colour_logits], "lr": COLOUR_RATE},
            {"params": [neural.log_sharpness], "lr": SHARPNESS_RATE},
        ],
        betas=(0.9, 0.95),
    )
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, FINAL_RATE, steps)
    losses: list[float] = []
    disagreement = 0.0
    for step in range(steps):
        index = torch.randint(len(rays), (batch,), generator=random).to(near.device)
        jitter = torch.rand(batch, 2, generator=random).to(near.device)
        some = rays[index]
        sdf = neural.signed_distance()
        distances = place_samples(
            neural, sdf.detach(), some.origins, some.directions, near[index], far[index],
            COARSE_SAMPLES, FINE_SAMPLES, jitter,
        )  # fmt: skip
        seen = render(neural, sdf, some.origins, some.directions, distances)
        eikonal, bending = regularity(sdf, neural.voxel)
        difference = (seen.colour - some.colour).detach().abs().mean().item()
        disagreement += (difference - disagreement) * max(1 / (step + 1), 1 / PATIENCE)
        stiffness = BENDING_WEIGHT * max(1.0, disagreement / AGREEMENT) ** 2
        views_loss = ((seen.colour - some.colour).square().sum(1) + 1e-3).sqrt().mean() + OPACITY_WEIGHT * (
            seen.opacity - some.opacity
        ).square().mean()
        loss = views_loss + EIKONAL_WEIGHT * eikonal + stiffness * bending
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()

        losses.append(float(views_loss.detach()))
        report(step + 1, _preview(neural) if step % PREVIEW_EVERY == 0 else None)
        recent, earlier = losses[-PATIENCE:], losses[-2 * PATIENCE : -PATIENCE]
        if len(earlier) == PATIENCE and sum(recent) > 0.99 * sum(earlier):
            break


@torch.no_grad()
def _preview(neural: NeuralSurface) -> Image:
    """The surface so far, (PREVIEW_SIZE, PREVIEW_SIZE, 4) uint8 RGBA, seen a little from the side."""
    camera = world_to_camera(30.0, TARGET_ELEVATION)
    rows, columns = np.indices((PREVIEW_SIZE, PREVIEW_SIZE)).reshape(2, -1)
    origins, directions = (_tensor(a, neural.low.device) for a in pixel_rays(rows, columns, camera, PREVIEW_SIZE))
    near, far = neural.box_range(origins, directions)
    sdf = neural.signed_distance()
    distances = place_samples(
        neural, sdf, origins, directions, near, torch.maximum(far, near),
        COARSE_SAMPLES, FINE_SAMPLES, torch.full((len(near), 2), 0.5, device=near.device),
    )  # fmt: skip
    seen = render(neural, sdf, origins, directions, distances)
    opacity = torch.where(far > near, seen.opacity, 0.0)[:, None]
    rgba = torch.cat([seen.colour / seen.opacity[:, None].clamp_min(1e-6), opacity], 1)
    return (rgba.clamp(0, 1) * 255).round().byte().cpu().numpy().reshape(PREVIEW_SIZE, PREVIEW_SIZE, 4)


def view_rays(views: ViewSet, voxel: float, device: torch.device) -> Rays:
    """The rays through the silhouettes and the ring around them; views without foreground give none.

    Colours are blurred to what a lattice of this spacing can show: finer texture would look like views that disagree.
    """
    blur = voxel * FOCAL / DISTANCE / 2
    parts = []
    for picture, camera in zip(views.rgba, target_cameras(), strict=True):
        rows, columns = np.nonzero(ndimage.binary_dilation(picture[..., 3] > 127, iterations=RING))
        opacity = picture[rows, columns, 3:] / 255.0
        colour = smooth_colours(picture, blur)[rows, columns] / 255.0
        parts.append((
            *pixel_rays(rows, columns, camera, VIEW_SIZE), colour * opacity, opacity[:, 0],
        ))  # fmt: skip
    return Rays(*(_tensor(np.concatenate(part), device) for part in zip(*parts, strict=True)))


def _unfitted(sdf: Tensor, grid: Grid) -> NeuralSurface:
    """A grey surface, free to go anywhere."""
    low, high = _tensor(grid.origin, sdf.device), _tensor(grid.high, sdf.device)
    grey = sdf.new_full((3, *grid.shape), 0.5)
    return NeuralSurface(sdf, torch.full_like(sdf, -torch.inf), grey, low, high, START_SHARPNESS)


@torch.no_grad()
def _on_lattice(neural: NeuralSurface, grid: Grid, bound: Tensor, detail: float) -> NeuralSurface:
    """The same surface on another lattice, within a bound (X, Y, Z), to be corrected down to a detail."""
    low, high = _tensor(grid.origin, neural.low.device), _tensor(grid.high, neural.low.device)
    points = _tensor(grid.points(), neural.low.device).reshape(grid.shape[0], -1, 3)
    lattice = torch.cat([neural.signed_distance()[None], neural.colour])
    values = neural.sample(lattice, points).reshape(*grid.shape, 4).permute(3, 0, 1, 2).contiguous()
    return NeuralSurface(values[0], bound, values[1:], low, high, neural.sharpness.item(), detail)


def _tensor(values: NDArray[np.floating], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)
