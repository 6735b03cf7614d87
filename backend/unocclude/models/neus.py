"""A neural surface on grids, rendered as in NeuS (Wang et al. 2021, arXiv 2106.10689).

NeuS keeps its signed distance in a large MLP: tens of hours on a CPU. Here lattices of several spacings take its place,
which the sixteen views fill in seconds; the unbiased weights and the learned sharpness are NeuS'.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unocclude.models.lattice_field import (
    LatticeField,
    Rendering,
    composite,
    dense_distances,
    even_distances,
    points_on,
    seen_weights,
)

LEVELS = (4.0, 2.0, 1.0)
"""Each level's lattice spacing in voxels: coarse levels move whole regions, the finest adds detail."""


class NeuralSurface(LatticeField):
    """Signed distance and colour on a lattice of (X, Y, Z) points over the box `low` to `high`.

    The signed distance is the start plus one correction per level, in voxels, so that a gradient at one point moves its
    surroundings too. Colour does not depend on the direction of view.
    """

    start: Tensor
    bound: Tensor

    def __init__(
        self,
        sdf: Tensor,
        bound: Tensor,
        colour: Tensor,
        low: Tensor,
        high: Tensor,
        sharpness: float,
        detail: float = 0.0,
    ) -> None:
        """sdf (X, Y, Z), colour (3, X, Y, Z) in [0, 1], low and high (3,); `sharpness` is NeuS' 1/s at the start.

        `bound` (X, Y, Z): the signed distance is nowhere less, so that the surface stays within its zero level.
        `detail`: the finest spacing, in units of the world, at which the signed distance may be corrected.
        """
        super().__init__(low, high)
        self.register_buffer("start", sdf[None, None])
        self.register_buffer("bound", bound)
        self.voxel = float((high[0] - low[0]) / (sdf.shape[0] - 1))
        steps = [step for step in LEVELS if step * self.voxel >= detail] or [detail / self.voxel]
        shapes = [[max(2, math.ceil(n / step)) for n in sdf.shape] for step in steps]
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


def section_weights(sdf: Tensor, sharpness: Tensor) -> Tensor:
    """(N, S - 1) weights of the sections between samples with signed distances (N, S): NeuS, equations 10 and 13."""
    cdf = torch.sigmoid(sdf * sharpness)
    alpha = ((cdf[:, :-1] - cdf[:, 1:] + 1e-5) / (cdf[:, :-1] + 1e-5)).clamp(0.0, 1.0)
    return seen_weights(alpha)


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
        distances = even_distances(near, far, coarse, jitter[:, :1])
        values = surface.sample(sdf[None], points_on(origins, directions, distances))
        # Half as sharp as the rendering: the samples should cover the whole of the surface's density.
        weights = section_weights(values[..., 0], surface.sharpness / 2)
        return dense_distances(distances, weights, fine, jitter[:, 1:])


def render(surface: NeuralSurface, sdf: Tensor, origins: Tensor, directions: Tensor, distances: Tensor) -> Rendering:
    """Render rays (N, 3) from samples at ascending distances (N, S); `sdf` is the `signed_distance()` (X, Y, Z)."""
    lattice = torch.cat([sdf[None], surface.colour_logits[0]])
    values = surface.sample(lattice, points_on(origins, directions, distances))
    colour = torch.sigmoid((values[:, :-1, 1:] + values[:, 1:, 1:]) / 2)
    return composite(section_weights(values[..., 0], surface.sharpness), colour)
