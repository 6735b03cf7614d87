"""NeuS as SyncDreamer uses it: signed distance and colour in MLPs, hierarchical samples, unbiased weights.

Wang et al. 2021, arXiv 2106.10689, with SyncDreamer's changes (arXiv 2309.03453): everything lies in the cube
|x|, |y|, |z| <= 0.6, colour depends on the reflected direction of view, the background is white.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HALF_SIDE = 0.6
BALL_RADIUS = math.sqrt(3) / 2
"""Rays are sampled where they are in the ball of this radius, around the point nearest to the origin."""
EVEN_SAMPLES, ROUNDS, SAMPLES_A_ROUND = 64, 4, 16
FIRST_SHARPNESS = 64.0
"""Assumed in the first round of importance samples; it doubles with each."""
ANNEAL_STEPS = 200
RENDERING_WEIGHT, EIKONAL_WEIGHT, MASK_WEIGHT = 0.5, 0.1, 1.0


@dataclass(frozen=True)
class NeusConfig:
    """Widths of the networks. `skip`: the SDF layer that sees the encoded point again."""

    sdf_width: int = 256
    sdf_layers: int = 8
    skip: int = 4
    feature: int = 256
    colour_width: int = 256
    colour_layers: int = 4
    point_frequencies: int = 6
    direction_frequencies: int = 4
    ball: float = 0.5
    """Radius of the ball that the SDF network starts as."""
    variance: float = 0.3


@dataclass(frozen=True)
class Rendered:
    """What N rays see: colour (N, 3) on white, opacity (N,), normal (N, 3); of their S samples, (N, S): distance,
    whether inside the cube, and there the squared deviation of the SDF's slope from 1."""

    colour: Tensor
    opacity: Tensor
    normal: Tensor
    distances: Tensor
    inside: Tensor
    eikonal: Tensor


@dataclass(frozen=True)
class Losses:
    """`total` is the weighted sum of the others."""

    total: Tensor
    rendering: Tensor
    eikonal: Tensor
    mask: Tensor


def encode(x: Tensor, frequencies: int) -> Tensor:
    """(..., 3) to (..., 3 + 6 * frequencies): x, then sine and cosine of x * 2^i (NeRF's positional encoding)."""
    waves = [wave(x * 2.0**i) for i in range(frequencies) for wave in (torch.sin, torch.cos)]
    return torch.cat([x, *waves], -1)


class NormalisedLinear(nn.Module):
    """A linear layer with weight normalisation (Salimans and Kingma 2016): length `weight_g`, direction `weight_v`."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """weight (out, in), bias (out,): the values at the start."""
        super().__init__()
        self.weight_g = nn.Parameter(weight.norm(dim=1, keepdim=True))
        self.weight_v = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=1, keepdim=True))
        return F.linear(x, weight, self.bias)


class SdfNetwork(nn.Module):
    """Points (N, 3) to signed distance and feature (N, 1 + feature).

    At the start it is about a ball (Atzmon and Lipman 2020, arXiv 1911.10414).
    """

    def __init__(self, config: NeusConfig) -> None:
        super().__init__()
        self.config = config
        encoded = 3 + 6 * config.point_frequencies
        widths = [encoded, *[config.sdf_width] * config.sdf_layers, 1 + config.feature]
        self.layers = len(widths) - 1
        for i in range(self.layers):
            out = widths[i + 1] - (encoded if i + 1 == config.skip else 0)
            if i == self.layers - 1:
                weight = math.sqrt(math.pi / widths[i]) + 1e-4 * torch.randn(out, widths[i])
                bias = torch.full((out,), -config.ball)
            else:
                weight = torch.randn(out, widths[i]) * math.sqrt(2 / out)
                bias = torch.zeros(out)
            # The waves of the encoding take no part at the start.
            if i == 0:
                weight[:, 3:] = 0
            elif i == config.skip:
                weight[:, -(encoded - 3) :] = 0
            self.add_module(f"lin{i}", NormalisedLinear(weight, bias))

    def forward(self, points: Tensor) -> Tensor:
        encoded = encode(points, self.config.point_frequencies)
        x = encoded
        for i in range(self.layers):
            if i == self.config.skip:
                x = torch.cat([x, encoded], -1) / math.sqrt(2)
            x = self.get_submodule(f"lin{i}")(x)
            if i < self.layers - 1:
                x = F.softplus(x, beta=100)
        return x


class ColourNetwork(nn.Module):
    """Colour (N, 3) in [0, 1] from points, directions towards the viewer, gradients (N, 3) and features (N, C)."""

    def __init__(self, config: NeusConfig) -> None:
        super().__init__()
        self.config = config
        first = 3 + 3 + 6 * config.direction_frequencies + 3 + config.feature
        widths = [first, *[config.colour_width] * config.colour_layers, 3]
        self.layers = len(widths) - 1
        for i in range(self.layers):
            plain = nn.Linear(widths[i], widths[i + 1])
            self.add_module(f"lin{i}", NormalisedLinear(plain.weight.detach(), plain.bias.detach()))

    def forward(self, points: Tensor, viewer: Tensor, gradients: Tensor, features: Tensor) -> Tensor:
        normals = F.normalize(gradients, dim=-1)
        reflected = 2 * (viewer * normals).sum(-1, keepdim=True) * normals - viewer
        x = torch.cat([points, encode(reflected, self.config.direction_frequencies), normals, features], -1)
        for i in range(self.layers):
            x = self.get_submodule(f"lin{i}")(x)
            x = F.relu(x) if i < self.layers - 1 else torch.sigmoid(x)
        return x


class Deviation(nn.Module):
    """The learned sharpness of the surface."""

    def __init__(self, variance: float) -> None:
        super().__init__()
        self.variance = nn.Parameter(torch.tensor(variance))

    def forward(self) -> Tensor:
        """1/s of the logistic density, ()."""
        return torch.exp(10 * self.variance).clamp(1e-6, 1e6)


class ReferenceNeus(nn.Module):
    """The networks and their renderer. `step` counts from 0 and decides how far the cosine is annealed."""

    def __init__(self, config: NeusConfig | None = None) -> None:
        super().__init__()
        config = config or NeusConfig()
        self.sdf_network = SdfNetwork(config)
        self.color_network = ColourNetwork(config)
        self.deviation_network = Deviation(config.variance)

    def sdf(self, points: Tensor) -> Tensor:
        """(...,) signed distances at points (..., 3), negative inside."""
        return self.sdf_network(points.reshape(-1, 3))[:, 0].reshape(points.shape[:-1])

    def gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of the SDF network (N, 1 + feature) and gradients (N, 3) of the distance, both differentiable."""
        with torch.enable_grad():
            points = points.detach().requires_grad_(True)
            out = self.sdf_network(points)
            gradients = torch.autograd.grad(out[:, 0].sum(), points, create_graph=True)[0]
        return out, gradients

    @torch.no_grad()
    def distances(self, origins: Tensor, directions: Tensor, jitter: Tensor | None = None) -> Tensor:
        """(N, 128) ascending distances of the samples on rays (N, 3).

        `jitter` (N, 1) in [0, 1), of training, moves all samples of a ray by up to a 64th of a unit of length.
        """
        near, far = near_far(origins, directions)
        z = near + (far - near) * torch.linspace(0, 1, EVEN_SAMPLES, device=near.device)
        if jitter is not None:
            z = z + (jitter - 0.5) * 2 / EVEN_SAMPLES
        sdf = self.sdf(_along(origins, directions, z))
        for i in range(ROUNDS):
            new = importance_samples(origins, directions, z, sdf, FIRST_SHARPNESS * 2**i)
            z, order = torch.sort(torch.cat([z, new], 1), dim=1)
            if i < ROUNDS - 1:
                both = torch.cat([sdf, self.sdf(_along(origins, directions, new))], 1)
                sdf = both.gather(1, order)
        return z

    def render(
        self, origins: Tensor, directions: Tensor, step: int | None = None, jitter: Tensor | None = None
    ) -> Rendered:
        """Render rays (N, 3) with unit directions; `step` and `jitter` (N, 1) are None in evaluation."""
        z = self.distances(origins, directions, jitter)
        sections = z[:, 1:] - z[:, :-1]
        sections = torch.cat([sections, sections[:, -1:]], 1)
        points = _along(origins, directions, z + sections / 2)
        inside = in_cube(points)
        rays = directions[:, None].expand_as(points)[inside]
        out, gradients = self.gradient(points[inside])
        annealed = 1.0 if step is None else min(1.0, step / ANNEAL_STEPS)
        cosine = (rays * gradients).sum(-1)
        cosine = -(F.relu(0.5 - 0.5 * cosine) * (1 - annealed) + F.relu(-cosine) * annealed)
        half = cosine * sections[inside] / 2
        sharpness = self.deviation_network()
        before, after = torch.sigmoid((out[:, 0] - half) * sharpness), torch.sigmoid((out[:, 0] + half) * sharpness)

        alpha = _scatter(inside, ((before - after + 1e-5) / (before + 1e-5)).clamp(0, 1))
        colour = _scatter(inside, self.color_network(points[inside], -rays, gradients, out[:, 1:]))
        normal = _scatter(inside, F.normalize(gradients, dim=-1))
        weights = ray_weights(alpha)[..., None]
        opacity = weights.sum(1)
        return Rendered(
            colour=(weights * colour).sum(1) + 1 - opacity,
            opacity=opacity[:, 0],
            normal=(weights * normal).sum(1),
            distances=z,
            inside=inside,
            eikonal=_scatter(inside, (gradients.norm(dim=-1) - 1).square()),
        )


def near_far(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 1) distances of entry into the ball and exit from it, for rays (N, 3) through its middle."""
    middle = -(origins * directions).sum(-1, keepdim=True)
    return middle - BALL_RADIUS, middle + BALL_RADIUS


def in_cube(points: Tensor) -> Tensor:
    """(...,) whether points (..., 3) are inside the cube or on its sides."""
    return points.abs().amax(-1) <= HALF_SIDE


def ray_weights(alpha: Tensor) -> Tensor:
    """(N, S) weights of samples of opacity (N, S), the first one nearest."""
    passed = torch.cumprod(1 - alpha + 1e-7, 1)
    return alpha * F.pad(passed[:, :-1], (1, 0), value=1.0)


def importance_samples(origins: Tensor, directions: Tensor, z: Tensor, sdf: Tensor, sharpness: float) -> Tensor:
    """(N, 16) more distances on rays, near where `sdf` (N, S) at distances `z` (N, S) enters the surface."""
    inside = in_cube(_along(origins, directions, z))
    sections = z[:, 1:] - z[:, :-1]
    cosine = (sdf[:, 1:] - sdf[:, :-1]) / (sections + 1e-5)
    cosine = torch.minimum(cosine, F.pad(cosine[:, :-1], (1, 0)))
    cosine = cosine.clamp(-1e3, 0) * (inside[:, 1:] | inside[:, :-1])
    middle, half = (sdf[:, 1:] + sdf[:, :-1]) / 2, cosine * sections / 2
    before, after = torch.sigmoid((middle - half) * sharpness), torch.sigmoid((middle + half) * sharpness)
    return inverse_samples(z, ray_weights((before - after + 1e-5) / (before + 1e-5)), SAMPLES_A_ROUND)


def inverse_samples(edges: Tensor, weights: Tensor, count: int) -> Tensor:
    """(N, count) even quantiles of histograms with edges (N, S + 1) and weights (N, S), as in NeRF."""
    weights = weights + 1e-5
    cdf = F.pad(torch.cumsum(weights / weights.sum(1, keepdim=True), 1), (1, 0))
    wanted = ((torch.arange(count, device=edges.device) + 0.5) / count).expand(len(edges), count).contiguous()
    above = torch.searchsorted(cdf, wanted, right=True)
    below = (above - 1).clamp_min(0)
    above = above.clamp_max(cdf.shape[1] - 1)
    c0, c1, e0, e1 = cdf.gather(1, below), cdf.gather(1, above), edges.gather(1, below), edges.gather(1, above)
    width = torch.where(c1 - c0 < 1e-5, 1.0, c1 - c0)
    return e0 + (wanted - c0) / width * (e1 - e0)


def losses(rendered: Rendered, colour: Tensor, mask: Tensor) -> Losses:
    """Of rays that should show `colour` (N, 3) and opacity `mask` (N,)."""
    rendering = ((rendered.colour - colour).square().sum(-1) + 0.001).sqrt().mean()
    eikonal = rendered.eikonal.sum() / rendered.inside.sum().clamp_min(1)
    opacity = F.mse_loss(rendered.opacity, mask)
    total = RENDERING_WEIGHT * rendering + EIKONAL_WEIGHT * eikonal + MASK_WEIGHT * opacity
    return Losses(total, rendering, eikonal, opacity)


def learning_rate(step: int, total: int, rate: float = 5e-4, warm_up: int = 100, final: float = 0.02) -> float:
    """From `final` of `rate` up to `rate` in `warm_up` steps, then lower every 1000, to `final` of it at `total`."""
    if step < warm_up:
        return rate * (final + (1 - final) * step / warm_up)
    return rate * final ** (step // 1000 / max(total // 1000, 1))


def _along(origins: Tensor, directions: Tensor, z: Tensor) -> Tensor:
    """(N, S, 3) points at distances (N, S) on rays (N, 3)."""
    return origins[:, None] + directions[:, None] * z[..., None]


def _scatter(where: Tensor, values: Tensor) -> Tensor:
    """(N, S, ...) `values` (K, ...) where `where` (N, S), with K places, is true; zero elsewhere."""
    out = values.new_zeros(*where.shape, *values.shape[1:])
    return out.index_put((where,), values)
