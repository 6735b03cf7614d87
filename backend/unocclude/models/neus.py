"""A neural surface on grids, rendered as in NeuS (Wang et al. 2021, arXiv 2106.10689).

NeuS keeps its signed distance in a large MLP: tens of hours on a CPU. Here lattices of several spacings take its place,
which the sixteen views fill in seconds; the unbiased weights and the learned sharpness are NeuS'.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = (4, 2, 1)
"""Each level's lattice spacing in voxels: coarse levels move whole regions, the finest adds detail."""
EVEN_SHARE = 0.1
"""Share of a ray's samples that is spread evenly, whatever the surface looks like so far."""


class NeuralSurface(nn.Module):
    """Signed distance and colour on a lattice of (X, Y, Z) points over the box `low` to `high`.

    The signed distance is the start plus one correction per level, in voxels, so that a gradient at one point moves its
    surroundings too. Colour does not depend on the direction of view.
    """

    start: Tensor
    bound: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, sdf: Tensor, bound: Tensor, colour: Tensor, low: Tensor, high: Tensor, sharpness: float) -> None:
        """sdf (X, Y, Z), colour (3, X, Y, Z) in [0, 1], low and high (3,); `sharpness` is NeuS' 1/s at the start.

        `bound` (X, Y, Z): the signed distance is nowhere less, so that the surface stays within its zero level.
        """
        super().__init__()
        self.register_buffer("start", sdf[None, None])
        self.register_buffer("bound", bound)
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.voxel = float((high[0] - low[0]) / (sdf.shape[0] - 1))
        shapes = [[max(2, -(-n // step)) for n in sdf.shape] for step in LEVELS]
        self.corrections = nn.ParameterList(sdf.new_zeros(1, 1, *shape) for shape in shapes)
        self.colour_logits = nn.Parameter(torch.logit(colour.clamp(0.02, 0.98))[None])
        self.log_sharpness = nn.Parameter(sdf.new_tensor(sharpness).log())

    @property
    def sharpness(self) -> Tensor:
        """1/s of NeuS' logistic density, per unit of length."""
        return self.log_sharpness.exp()

    @property
    def colour(self) -> Tensor:
        """(3, X, Y, Z) in [0, 1]."""
        return torch.sigmoid(self.colour_logits[0])

    def signed_distance(self) -> Tensor:
        """(X, Y, Z), negative inside."""
        total = self.start
        for correction in self.corrections:
            if correction.shape != self.start.shape:
                shape = self.start.shape[2:]
                correction = F.interpolate(correction, shape, mode="trilinear", align_corners=True)
            total = total + correction * self.voxel
        return torch.maximum(total[0, 0], self.bound)

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


def section_weights(sdf: Tensor, sharpness: Tensor) -> Tensor:
    """(N, S - 1) weights of the sections between samples with signed distances (N, S): NeuS, equations 10 and 13."""
    cdf = torch.sigmoid(sdf * sharpness)
    alpha = ((cdf[:, :-1] - cdf[:, 1:] + 1e-5) / (cdf[:, :-1] + 1e-5)).clamp(0.0, 1.0)
    passed = torch.cumprod(1 - alpha + 1e-7, 1)
    return alpha * F.pad(passed[:, :-1], (1, 0), value=1.0)


def place_samples(
    surface: NeuralSurface,
    sdf: Tensor,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    coarse: int,
    fine: int,
    jitter: Tensor,
) -> Tensor:
    """(N, fine) ascending distances along rays (N, 3), dense where they meet the surface (NeuS, section 3.3).

    `sdf` (X, Y, Z) is first sampled at `coarse` even distances from `near` to `far` (N,). `jitter` (N, 2) in [0, 1)
    shifts the coarse and the fine samples of each ray.
    """
    with torch.no_grad():
        steps = (torch.arange(coarse, device=sdf.device) + jitter[:, :1]) / coarse
        distances = near[:, None] + (far - near)[:, None] * steps
        values = surface.sample(sdf[None], origins[:, None] + directions[:, None] * distances[..., None])
        # Half as sharp as the rendering: the samples should cover the whole of the surface's density.
        density = section_weights(values[..., 0], surface.sharpness / 2)
        density = density / density.sum(1, keepdim=True).clamp_min(1e-6) + EVEN_SHARE / (coarse - 1)
        cdf = F.pad(torch.cumsum(density, 1), (1, 0))
        cdf = cdf / cdf[:, -1:]
        wanted = (torch.arange(fine, device=sdf.device) + jitter[:, 1:]) / fine
        after = torch.searchsorted(cdf, wanted.contiguous(), right=True).clamp(1, coarse - 1)
        c0, c1 = cdf.gather(1, after - 1), cdf.gather(1, after)
        d0, d1 = distances.gather(1, after - 1), distances.gather(1, after)
        return d0 + (d1 - d0) * ((wanted - c0) / (c1 - c0).clamp_min(1e-6)).clamp(0, 1)


def render(surface: NeuralSurface, sdf: Tensor, origins: Tensor, directions: Tensor, distances: Tensor) -> Rendering:
    """Render rays (N, 3) from samples at ascending distances (N, S); `sdf` is the `signed_distance()` (X, Y, Z)."""
    lattice = torch.cat([sdf[None], surface.colour_logits[0]])
    values = surface.sample(lattice, origins[:, None] + directions[:, None] * distances[..., None])
    weights = section_weights(values[..., 0], surface.sharpness)
    colour = torch.sigmoid((values[:, :-1, 1:] + values[:, 1:, 1:]) / 2)
    return Rendering((weights[..., None] * colour).sum(1), weights.sum(1))
