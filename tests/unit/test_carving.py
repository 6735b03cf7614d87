"""What the sixteen views' depth leaves of space, on a cup that is drawn by ray casting."""

from __future__ import annotations

import numpy as np
import torch
from unocclude.cameras import VIEW_COUNT, VIEW_SIZE, intrinsics, target_cameras
from unocclude.data import shapes
from unocclude.data.carving import outlined_and_hollow
from unocclude.models.volumes import volume_vertices
from unocclude.pipeline.rasterise import rasterise

VERTICES = 32


def test_a_cup_is_outlined_as_a_cylinder_and_hollow_within() -> None:
    r, z = shapes.hollow_profile(np.full(4, 0.4), np.linspace(-0.4, 0.4, 4), 0.05)
    cup = shapes.lathe(r, z, 64)
    depth = np.zeros((VIEW_COUNT, VIEW_SIZE, VIEW_SIZE), np.float32)
    for k, camera in enumerate(target_cameras()):
        raster = rasterise(cup.vertices, cup.faces, camera, intrinsics(), VIEW_SIZE)
        depth[k] = np.where(raster.face >= 0, raster.depth, 0)
    outlined, hollow = outlined_and_hollow(torch.from_numpy(depth), VERTICES)
    x, y, z = volume_vertices(VERTICES).unbind(-1)
    across = torch.hypot(x, y)
    assert outlined[(across < 0.37) & (z.abs() < 0.37)].all()
    assert not outlined[(across > 0.43) & (z > -0.3) & (z < 0.3)].any()
    assert hollow[(across < 0.3) & (z > 0.32) & (z < 0.4)].all()
    assert hollow[(across > 0.22) & (across < 0.3) & (z > 0.25) & (z < 0.4)].all(), "seen over the other side's rim"
    assert not hollow[(across < 0.1) & (z < 0.1)].any(), "no view sees so deep; what is not seen counts as filled"
    assert not hollow[(across > 0.41) & (z < 0.35)].any(), "from outside, nothing is seen past the wall"
    assert not (hollow & ~outlined).any()
