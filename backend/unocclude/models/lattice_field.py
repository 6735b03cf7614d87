"""What rendering of lattices has in common, whether surfaces (NeuS) or densities (radiance fields) are on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EVEN_SHARE = 0.1
"""Share of a ray's samples that is spread evenly, whatever the field looks like so far."""


class LatticeField(nn.Module):
    """Values on a lattice of points over the box from `low` to `high` (3,), between them trilinear."""

    low: Tensor
    high: Tensor

    def __init__(self, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def box_range(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """The distances (N,) where rays (N, 3) enter and leave the box; entry is behind exit where they miss it."""
        directions = torch.where(directions.abs() < 1e-8, 1e-8, directions)
        a, b = (self.low - origins) / directions, (self.high - origins) / directions
        return torch.minimum(a, b).amax(1), torch.maximum(a, b).amin(1)

    def sample(self, lattice: Tensor, points: Tensor) -> Tensor:
        """(N, S, C) trilinear values of a (C, X, Y, Z) lattice over the box at points (N, S, 3)."""
        unit = (points - self.low) / (self.high - self.low) * 2 - 1
        values = F.grid_sample(
            lattice[None], unit.flip(-1)[None, :, :, None], align_corners=True, padding_mode="border"
        )
        return values[0, ..., 0].permute(1, 2, 0)


@dataclass(frozen=True)
class Rendering:
    """What N rays see: premultiplied colour (N, 3) in [0, 1] and opacity (N,)."""

    colour: Tensor
    opacity: Tensor


def points_on(origins: Tensor, directions: Tensor, distances: Tensor) -> Tensor:
    """(N, S, 3) points at distances (N, S) along rays (N, 3)."""
    return origins[:, None] + directions[:, None] * distances[..., None]


def even_distances(near: Tensor, far: Tensor, count: int, jitter: Tensor) -> Tensor:
    """(N, count) ascending distances from near to far (N,), shifted by `jitter` (N, 1) in [0, 1)."""
    steps = (torch.arange(count, device=near.device) + jitter) / count
    return near[:, None] + (far - near)[:, None] * steps


def seen_weights(alpha: Tensor) -> Tensor:
    """(N, S) shares of the light that sections of opacity `alpha` (N, S) send, one behind the other."""
    passed = torch.cumprod(1 - alpha + 1e-7, 1)
    return alpha * F.pad(passed[:, :-1], (1, 0), value=1.0)


def dense_distances(distances: Tensor, weights: Tensor, count: int, jitter: Tensor) -> Tensor:
    """(N, count) ascending distances, dense where the sections between distances (N, S) weigh (N, S - 1) much.

    (NeuS, section 3.3; hierarchical sampling of Mildenhall et al. 2020.) `jitter` (N, 1) in [0, 1) shifts them.
    """
    last = distances.shape[1] - 1
    density = weights / weights.sum(1, keepdim=True).clamp_min(1e-6) + EVEN_SHARE / last
    cdf = F.pad(torch.cumsum(density, 1), (1, 0))
    cdf = cdf / cdf[:, -1:]
    wanted = (torch.arange(count, device=distances.device) + jitter) / count
    after = torch.searchsorted(cdf, wanted.contiguous(), right=True).clamp(1, last)
    c0, c1 = cdf.gather(1, after - 1), cdf.gather(1, after)
    d0, d1 = distances.gather(1, after - 1), distances.gather(1, after)
    return d0 + (d1 - d0) * ((wanted - c0) / (c1 - c0).clamp_min(1e-6)).clamp(0, 1)


def composite(weights: Tensor, colour: Tensor) -> Rendering:
    """Sections of weights (N, S) and colours (N, S, 3)."""
    return Rendering((weights[..., None] * colour).sum(1), weights.sum(1))
