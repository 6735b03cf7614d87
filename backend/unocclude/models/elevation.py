"""Estimates how high above the object's equator the camera stood, from the picture of the whole object."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.cameras import VIEW_SIZE
from unocclude.models.input_view import prepare
from unocclude.pipeline.types import Image

PICTURE_SIZE = 64
OBJECT_SIZE = 200
"""Pixels of 256 that the object's longer side takes."""
LOWEST, HIGHEST = -10.0, 45.0
"""Degrees. Estimates are kept within."""


@dataclass(frozen=True)
class ElevationConfig:
    """`widths`: channels of the convolutions, each of which halves the picture; `hidden`: of the last layer but one."""

    widths: tuple[int, ...] = (24, 48, 96, 128)
    squeezed: int = 24
    hidden: int = 96


class ElevationEstimator(nn.Module):
    """A small convolutional regressor. Where things are matters (a rim above, a base below), so nothing is pooled."""

    def __init__(self, config: ElevationConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = 4
        for width in config.widths:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.GroupNorm(8, width), nn.SiLU()]
            before = width
        cells = (PICTURE_SIZE >> len(config.widths)) ** 2
        self.layers = nn.Sequential(
            *layers,
            nn.Conv2d(before, config.squeezed, 1),
            nn.Flatten(),
            nn.Linear(config.squeezed * cells, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 4, 64, 64) as `framed` gives them, to (B,) degrees."""
        middle, half = (LOWEST + HIGHEST) / 2, (HIGHEST - LOWEST) / 2
        return middle + half * self.layers(pictures)[:, 0]


def framed(rgba: Image) -> Tensor:
    """(4, 64, 64) in [-1, 1]: SyncDreamer's view of an (H, W, 4) object, smaller.

    Raises InputError where there is no object.
    """
    return F.avg_pool2d(prepare(rgba, OBJECT_SIZE), VIEW_SIZE // PICTURE_SIZE)


@torch.inference_mode()
def estimate_elevation(estimator: ElevationEstimator, rgba: Image) -> float:
    """Degrees, from the (H, W, 4) picture of the whole object. Raises InputError where there is none."""
    pictures = framed(rgba)[None].to(next(estimator.parameters()).device)
    return float(estimator(pictures).clamp(LOWEST, HIGHEST))
