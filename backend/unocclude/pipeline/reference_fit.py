"""Sixteen views to a surface as SyncDreamer does it, by 2000 steps of the original NeuS: for comparison, slow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unocclude.cameras import intrinsics, target_cameras
from unocclude.models.neus_reference import HALF_SIDE, ReferenceNeus, learning_rate, losses
from unocclude.pipeline.meshing import Grid, extract_surface
from unocclude.pipeline.types import Progress, Surface, ViewSet, no_progress

STEPS = 2000
ALL_RAYS, OBJECT_RAYS = 3584, 512
"""Rays a step: from all pixels, and from those that are not white."""
CHUNK = 512
"""Rays rendered at once: bounds the memory; their gradients are summed."""
LATTICE = 512
FACES = 60_000
NOT_WHITE = 0.99
SLAB = 65_536
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Pixels:
    """All pixels of the views: rays, colour on white (N, 3), opacity (N,)."""

    origins: Tensor
    directions: Tensor
    colour: Tensor
    opacity: Tensor


class Epochs:
    """Endless batches without repetition within an epoch, shuffled anew for each."""

    def __init__(self, items: Tensor, random: torch.Generator) -> None:
        self._items, self._random = items, random
        self._left = items[:0]

    def next(self, count: int) -> Tensor:
        """(count,) or, at the end of an epoch of fewer items, all that there are."""
        if len(self._left) < count:
            self._left = self._items[torch.randperm(len(self._items), generator=self._random)]
        batch, self._left = self._left[:count], self._left[count:]
        return batch


def fit_reference_surface(
    views: ViewSet, seed: int = 0, device: torch.device = CPU, progress: Progress = no_progress
) -> Surface:
    """The original NeuS' surface, then cleaned and simplified like every other; its base is not closed on purpose.

    Raises UnoccludeError if no solid shape is left.
    """
    torch.manual_seed(seed)
    model = ReferenceNeus().to(device)
    fit(model, views, STEPS, torch.Generator().manual_seed(seed), progress)
    low = np.full(3, -HALF_SIDE)
    grid = Grid(low, 2 * HALF_SIDE / (LATTICE - 1), (LATTICE, LATTICE, LATTICE))
    return extract_surface(sdf_lattice(model, LATTICE), grid, FACES)


def fit(
    model: ReferenceNeus, views: ViewSet, steps: int, random: torch.Generator, progress: Progress = no_progress
) -> None:
    """The first `steps` of the `STEPS` that the learning rates are made for."""
    device = next(model.parameters()).device
    pixels = view_pixels(views)
    every = Epochs(torch.arange(len(pixels.colour)), random)
    coloured = Epochs(torch.nonzero((pixels.colour <= NOT_WHITE).any(1))[:, 0], random)
    adam = optimiser(model)
    for step in range(steps):
        adam.param_groups[0]["lr"] = learning_rate(step, STEPS)
        index = torch.cat([every.next(ALL_RAYS), coloured.next(OBJECT_RAYS)])
        jitter = torch.rand(len(index), 1, generator=random)
        adam.zero_grad()
        for part in torch.split(torch.arange(len(index)), CHUNK):
            rays = index[part]
            rendered = model.render(
                pixels.origins[rays].to(device), pixels.directions[rays].to(device), step, jitter[part].to(device)
            )
            lost = losses(rendered, pixels.colour[rays].to(device), pixels.opacity[rays].to(device))
            (lost.total * len(part) / len(index)).backward()
        adam.step()
        progress("mesh", step + 1, steps)


def optimiser(model: ReferenceNeus) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.01)


def view_pixels(views: ViewSet) -> Pixels:
    """The pixels of all views, on the CPU; transparent ones are white."""
    origins, directions = zip(*(corner_rays(camera, intrinsics()) for camera in target_cameras()), strict=True)
    rgba = torch.from_numpy(views.rgba.reshape(-1, 4)).float() / 255
    colour = rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:]
    return Pixels(torch.cat(origins).float(), torch.cat(directions).float(), colour, rgba[:, 3])


def corner_rays(camera: NDArray[np.float64], k: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Origins and unit directions (H * W, 3) through the pixels' whole coordinates, half a pixel off their centres, as
    in the reference."""
    size = round(2 * k[0, 2])
    rows, columns = np.indices((size, size)).reshape(2, -1)
    through = np.column_stack([columns, rows, np.ones(len(rows))]) @ np.linalg.inv(k).T
    directions = through / np.linalg.norm(through, axis=1, keepdims=True) @ camera[:, :3]
    origin = -camera[:, :3].T @ camera[:, 3]
    return torch.from_numpy(origin).expand(len(rows), 3), torch.from_numpy(directions)


@torch.no_grad()
def sdf_lattice(model: ReferenceNeus, points: int) -> NDArray[np.float32]:
    """(points, points, points) signed distances over the cube, its sides included; 1 outside the unit ball."""
    device = next(model.parameters()).device
    axis = torch.linspace(-HALF_SIDE, HALF_SIDE, points, device=device)
    field = np.empty((points, points, points), np.float32)
    for x in range(points):
        layer = torch.stack(torch.meshgrid(axis[x : x + 1], axis, axis, indexing="ij"), -1).reshape(-1, 3)
        sdf = torch.cat([model.sdf(part) for part in torch.split(layer, SLAB)])
        field[x] = torch.where(layer.norm(dim=-1) >= 1, 1.0, sdf).reshape(points, points).cpu().numpy()
    return field


def surface_colours(model: ReferenceNeus, vertices: Tensor) -> Tensor:
    """(V, 3) colours in [0, 1] of vertices (V, 3), each seen along its normal."""
    out, gradients = model.gradient(vertices)
    normals = torch.nn.functional.normalize(gradients, dim=-1)
    return model.color_network(vertices, normals, gradients, out[:, 1:]).detach().clamp(0, 1)
