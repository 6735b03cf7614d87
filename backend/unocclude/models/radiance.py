"""A radiance field on a lattice: density and colour.

(Sun et al. 2022, Direct Voxel Grid Optimization, arXiv 2111.11215.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.models.lattice_field import (
    LatticeField,
    Rendering,
    composite,
    dense_distances,
    even_distances,
    points_on,
    seen_weights,
)


class RadianceField(LatticeField):
    """Fog of any density and colour on a lattice of (X, Y, Z) points over the box `low` to `high` (3,).

    Colour does not depend on the direction of view.
    """

    allowed: Tensor

    def __init__(self, density: Tensor, allowed: Tensor, low: Tensor, high: Tensor) -> None:
        """`density` (X, Y, Z): to begin with, above 0. `allowed` (X, Y, Z) bool: elsewhere there is nothing."""
        super().__init__(low, high)
        self.register_buffer("allowed", allowed)
        self.voxel = float((high[0] - low[0]) / (allowed.shape[0] - 1))
        self.density_logits = nn.Parameter(density.expm1().log())  # the inverse of softplus
        self.colour_logits = nn.Parameter(density.new_zeros(3, *density.shape))

    def density(self) -> Tensor:
        """(X, Y, Z): light passes exp(-density) of a voxel."""
        return F.softplus(self.density_logits) * self.allowed


def render(
    field: RadianceField,
    density: Tensor,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    samples: tuple[int, int],
    jitter: Tensor,
) -> Rendering:
    """Render rays (N, 3) between near and far (N,): `samples` even and then dense ones, shifted by `jitter` (N, 2).

    `density` (X, Y, Z) is the field's `density()`.
    """
    even = even_distances(near, far, samples[0], jitter[:, :1])
    with torch.no_grad():
        seen = field.sample(density[None], points_on(origins, directions, even))[..., 0]
        dense = dense_distances(even, seen_weights(_alpha(seen, even, field.voxel)), samples[1], jitter[:, 1:])
    distances = torch.cat([even, dense], 1).sort(1).values
    lattice = torch.cat([density[None], field.colour_logits])
    values = field.sample(lattice, points_on(origins, directions, distances))
    colour = torch.sigmoid((values[:, :-1, 1:] + values[:, 1:, 1:]) / 2)
    return composite(seen_weights(_alpha(values[..., 0], distances, field.voxel)), colour)


def _alpha(density: Tensor, distances: Tensor, voxel: float) -> Tensor:
    """(N, S - 1) opacity of the sections between samples of density, per voxel, at distances (N, S)."""
    mean = (density[:, :-1] + density[:, 1:]) / 2
    return -torch.expm1(-mean * distances.diff(dim=1) / voxel)
