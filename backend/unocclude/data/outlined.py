"""Which points of space all of the sixteen views show the object at: the visual hull."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from unocclude.cameras import target_cameras
from unocclude.models.view_guess import PIXEL_CENTRE
from unocclude.models.volumes import place_in_frustum, volume_vertices


def outlined(silhouettes: Tensor, vertices: int) -> Tensor:
    """(n, n, n) bool over (z, y, x), for n `vertices` a side: whether all views (16, h, w) show the object there.

    Beyond a picture's border, its outermost pixels go on.
    """
    places = _places(vertices, silhouettes.shape[-1])
    pixels = places.flatten(1, 2)
    seen = F.grid_sample(
        silhouettes[:, None].float(), pixels, mode="nearest", padding_mode="border", align_corners=True
    )
    return (seen.reshape(places.shape[:-1]) > 0).all(0)


@cache
def _places(vertices: int, side: int) -> Tensor:
    """(16, n, n, n, 2) where the vertices are seen in the views."""
    poses = torch.from_numpy(target_cameras()).float()
    return place_in_frustum(volume_vertices(vertices), poses, side, PIXEL_CENTRE)[..., :2]
