"""A neural surface on grids: NeuS' rendering of a signed distance (Wang et al. 2021, arXiv 2106.10689)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = (4, 2, 1)
"""Each level's lattice spacing in voxels: coarse levels move whole regions, the finest adds detail."""


class NeuralSurface(nn.Module):
    """Signed distance and colour on a lattice of (X, Y, Z) points over the box `low` to `high`.

    The signed distance is the start plus one correction grid per level, so that a gradient at one point moves its
    surroundings first. Colour does not depend on the direction of view.
    """

    def __init__(self, sdf: Tensor, colour: Tensor, low: Tensor, high: Tensor, sharpness: float) -> None:
        """sdf (X, Y, Z), colour (3, X, Y, Z) in [0, 1], low and high (3,); sharpness: NeuS' 1/s at the start."""
        super().__init__()
        self.register_buffer("start", sdf[None, None])
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.voxel = float((high[0] - low[0]) / (sdf.shape[0] - 1))
        self.corrections = nn.ParameterList(
            nn.Parameter(torch.zeros(1, 1, *[max(2, -(-n // step)) for n in sdf.shape], device=sdf.device))
            for step in LEVELS
        )
        self.colour_logits = nn.Parameter(torch.logit(colour.clamp(0.02, 0.98))[None])
        self.log_sharpness = nn.Parameter(torch.tensor(sharpness, device=sdf.device).log())

    start: Tensor
    low: Tensor
    high: Tensor

    @property
    def sharpness(self) -> Tensor:
        """1/s of NeuS' logistic density, per unit of length."""
        return self.log_sharpness.exp()

    def signed_distance(self) -> Tensor:
        """(1, 1, X, Y, Z), negative inside."""
        total = self.start
        for correction in self.corrections:
            if correction.shape != self.start.shape:
                correction = F.interpolate(correction, self.start.shape[2:], mode="trilinear", align_corners=True)
            total = total + correction * self.voxel
        return total

    def volume(self) -> Tensor:
        """(1, 4, X, Y, Z): signed distance and colour logits, to be sampled by `render`."""
        return torch.cat([self.signed_distance(), self.colour_logits], 1)

    def sample(self, volume: Tensor, points: Tensor) -> Tensor:
        """(N, S, C) trilinear values of a (1, C, X, Y, Z) volume at points (N, S, 3)."""
        unit = (points - self.low) / (self.high - self.low) * 2 - 1
        values = F.grid_sample(volume, unit.flip(-1)[None, :, :, None], align_corners=True, padding_mode="border")
        return values[0, ..., 0].permute(1, 2, 0)


@dataclass(frozen=True)
class Rendering:
    """What N rays see: premultiplied colour (N, 3), opacity (N,), distance along the ray (N,)."""

    colour: Tensor
    opacity: Tensor
    distance: Tensor


def section_weights(sdf: Tensor, sharpness: Tensor | float) -> Tensor:
    """(N, S - 1) weights of the sections between samples with signed distances (N, S): NeuS equation 13."""
    cdf = torch.sigmoid(sdf * sharpness)
    alpha = ((cdf[:, :-1] - cdf[:, 1:]) / (cdf[:, :-1] + 1e-5)).clamp(0.0, 1.0)
    free = torch.cumprod(1 - alpha + 1e-7, 1)
    return alpha * torch.cat([torch.ones_like(free[:, :1]), free[:, :-1]], 1)


def box_range(origins: Tensor, directions: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays (N, 3) enter and leave a box: two (N,) distances; equal or crossed where they miss it."""
    safe = torch.where(directions.abs() < 1e-8, torch.full_like(directions, 1e-8), directions)
    a, b = (low - origins) / safe, (high - origins) / safe
    return torch.minimum(a, b).amax(1), torch.maximum(a, b).amin(1)


def place_samples(
    surface: NeuralSurface,
    sdf: Tensor,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    coarse: int,
    fine: int,
    generator: torch.Generator,
) -> Tensor:
    """(N, fine) sorted distances, dense where the ray meets the surface (NeuS' hierarchical sampling).

    `sdf` is the surface's (1, 1, X, Y, Z) signed distance. A tenth of the samples is spread evenly.
    """
    with torch.no_grad():
        shift = torch.rand(len(origins), 1, generator=generator).to(origins.device)
        steps = (torch.arange(coarse, device=origins.device) + shift) / coarse
        distances = near[:, None] + (far - near)[:, None] * steps
        values = surface.sample(sdf, origins[:, None] + directions[:, None] * distances[..., None])[..., 0]
        density = section_weights(values, surface.sharpness / 2)
        density = density / density.sum(1, keepdim=True).clamp_min(1e-6) + 0.1 / (coarse - 1)
        cdf = torch.cumsum(density, 1)
        cdf = F.pad(cdf / cdf[:, -1:], (1, 0))
        offset = torch.rand(len(origins), 1, generator=generator).to(origins.device)
        wanted = (torch.arange(fine, device=origins.device) + offset) / fine
        after = torch.searchsorted(cdf, wanted, right=True).clamp(1, coarse - 1)
        c0, c1 = cdf.gather(1, after - 1), cdf.gather(1, after)
        d0, d1 = distances.gather(1, after - 1), distances.gather(1, after)
        return d0 + (d1 - d0) * ((wanted - c0) / (c1 - c0).clamp_min(1e-6)).clamp(0, 1)


def render(surface: NeuralSurface, volume: Tensor, origins: Tensor, directions: Tensor, distances: Tensor) -> Rendering:
    """Render rays (N, 3) at sorted sample distances (N, S) from the surface's `volume()`."""
    values = surface.sample(volume, origins[:, None] + directions[:, None] * distances[..., None])
    weights = section_weights(values[..., 0], surface.sharpness)
    colour = torch.sigmoid(values[..., 1:])
    middle = (distances[:, :-1] + distances[:, 1:]) / 2
    return Rendering(
        (weights[..., None] * (colour[:, :-1] + colour[:, 1:]) / 2).sum(1),
        weights.sum(1),
        (weights * middle).sum(1) / weights.sum(1).clamp_min(1e-6),
    )
