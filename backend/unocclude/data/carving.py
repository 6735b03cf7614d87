"""Which points of space an object fills, as far as the sixteen views tell: space carved by what they see."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from unocclude.cameras import target_cameras
from unocclude.models.volumes import project, volume_vertices

PIXEL_CENTRE = 0.5
SLACK = 0.01
"""How far before the surface a view has to see past a point: vertices on the surface are the object's."""


def outlined_and_hollow(depth: Tensor, vertices: int) -> tuple[Tensor, Tensor]:
    """(n, n, n) bool over (z, y, x), for n `vertices` a side: whether all views show the object at that place, and
    whether it is nevertheless empty there, because one of them sees past it. `depth` (16, h, w): camera z, 0 beside.

    The first is the visual hull; without the second, what space carving leaves. What no view sees counts as filled.
    """
    pixels, nearer = _seen_at(vertices, depth.shape[-1])
    seen = depth.flatten(1).gather(1, pixels)
    outlined = (seen > 0).all(0)
    hollow = outlined & (nearer < seen - SLACK).any(0)
    shape = (vertices, vertices, vertices)
    return outlined.reshape(shape), hollow.reshape(shape)


@cache
def _seen_at(vertices: int, side: int) -> tuple[Tensor, Tensor]:
    """By view and vertex (16, n^3): the pixel that shows it, beyond the border the outermost one; and its camera z."""
    poses = torch.from_numpy(target_cameras()).float()
    points = volume_vertices(vertices)
    column, row = project(points, poses, side, PIXEL_CENTRE).flatten(1, 3).round().long().clamp(0, side - 1).unbind(-1)
    depth = points.reshape(-1, 3) @ poses[:, 2, :3].T + poses[:, 2, 3]
    return row * side + column, depth.T
