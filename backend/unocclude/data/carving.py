"""Which points of space an object fills, as far as the sixteen views tell: space carved by what they see."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from unocclude.cameras import DISTANCE, target_cameras
from unocclude.models.view_guess import PIXEL_CENTRE
from unocclude.models.volumes import HALF_DEPTH, place_in_frustum, volume_vertices

SLACK = 0.01
"""How far before the surface a view has to see past a point: vertices on the surface are the object's."""


def outlined_and_hollow(depth: Tensor, vertices: int) -> tuple[Tensor, Tensor]:
    """(n, n, n) bool over (z, y, x), for n `vertices` a side: whether all views show the object at that place, and
    whether it is nevertheless empty there, because one of them sees past it. `depth` (16, h, w): camera z, 0 beside.

    The first is the visual hull; without the second, what space carving leaves. What no view sees counts as filled.
    Beyond a picture's border, its outermost pixels go on.
    """
    places = _places(vertices, depth.shape[-1])
    pixels = places[..., :2].flatten(1, 2)
    seen = F.grid_sample(depth[:, None], pixels, mode="nearest", padding_mode="border", align_corners=True)
    seen = seen.reshape(places.shape[:-1])
    outlined = (seen > 0).all(0)
    return outlined, outlined & (DISTANCE + HALF_DEPTH * places[..., 2] < seen - SLACK).any(0)


@cache
def _places(vertices: int, side: int) -> Tensor:
    """(16, n, n, n, 3) where the vertices lie in the views' frustums."""
    poses = torch.from_numpy(target_cameras()).float()
    return place_in_frustum(volume_vertices(vertices), poses, side, PIXEL_CENTRE)
