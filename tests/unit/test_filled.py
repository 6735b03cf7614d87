"""What objects fill of space, and what the views show of that, on a cup."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("embreex", reason="rendering needs the `train` extra")

from unocclude.cameras import VIEW_COUNT, VIEW_SIZE, intrinsics, target_cameras
from unocclude.data import shapes
from unocclude.data.families import Part
from unocclude.data.filled import filled_places
from unocclude.data.objects import PaintedObject, merge
from unocclude.data.outlined import outlined
from unocclude.data.shapes import Mesh
from unocclude.data.textures import plain
from unocclude.models.volumes import volume_vertices
from unocclude.pipeline.rasterise import rasterise

VERTICES = 32
X, Y, Z = volume_vertices(VERTICES).numpy().transpose(3, 0, 1, 2)
ACROSS = np.hypot(X, Y)


def cup() -> Mesh:
    r, z = shapes.hollow_profile(np.full(4, 0.4), np.linspace(-0.5, 0.5, 4), 0.05)
    return shapes.lathe(r, z, 64)


def painted(*meshes: Mesh) -> PaintedObject:
    paint = plain(np.random.default_rng(0))
    return merge("cup", [Part(mesh, paint) for mesh in meshes], np.eye(3))


def test_a_cup_is_empty_down_to_its_floor_though_no_view_sees_it() -> None:
    [filled] = filled_places(painted(cup()), np.zeros(1), VERTICES)
    assert not filled[(ACROSS < 0.34) & (Z > -0.43)].any()
    assert filled[(ACROSS > 0.36) & (ACROSS < 0.39) & (np.abs(Z) < 0.45)].all()
    assert filled[(ACROSS < 0.3) & (Z > -0.49) & (Z < -0.46)].all()
    assert not filled[ACROSS > 0.42].any()


def test_parts_add_up_and_the_cube_turns_with_the_view() -> None:
    ear = shapes.box(np.array([0.1, 0.1, 0.3])).moved(offset=[0.45, 0, 0])
    plain_cup, turned = filled_places(painted(cup(), ear), np.array([0.0, 90.0]), VERTICES)
    reach = np.abs(np.stack([X, Y])[:, plain_cup | turned]).max()
    assert plain_cup[(X > 0.38) & (X < 0.44) & (np.abs(Y) < 0.03) & (np.abs(Z) < 0.1)].all()
    assert not plain_cup[X < -0.46].any()
    # The camera at azimuth 90 looks from +y; what it has to its left is at +x.
    assert np.array_equal(turned, plain_cup.transpose(0, 2, 1)[:, ::-1]), "x lies at -y now"
    assert reach <= 0.5


def test_a_sheet_fills_nothing_and_a_torn_body_what_is_between() -> None:
    square = Mesh(
        np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]]), np.array([[0, 1, 2], [0, 2, 3]])
    )
    assert not filled_places(painted(square), np.zeros(1), VERTICES).any()
    levels = [square.moved(scale=0.9, offset=[0, 0, height]) for height in (-0.4, 0.0, 0.4)]
    torn = Mesh(np.concatenate([m.vertices for m in levels]), np.concatenate([square.faces + 4 * k for k in range(3)]))
    [filled] = filled_places(painted(torn), np.zeros(1), VERTICES)
    assert filled[np.abs(Z) < 0.4].mean() > 0.9


def test_all_views_show_a_cup_as_if_it_were_full() -> None:
    mesh = cup()
    silhouettes = np.stack(
        [rasterise(mesh.vertices, mesh.faces, camera, intrinsics(), VIEW_SIZE).face >= 0 for camera in target_cameras()]
    )
    hull = outlined(torch.from_numpy(silhouettes), VERTICES).numpy()
    assert silhouettes.shape[0] == VIEW_COUNT
    assert hull[(ACROSS < 0.38) & (np.abs(Z) < 0.48)].all()
    assert not hull[(ACROSS > 0.43) & (Z > -0.3) & (Z < 0.4)].any()
