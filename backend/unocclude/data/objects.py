"""Random everyday objects: painted parts put together by family, scaled into SyncDreamer's unit cube."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from unocclude.data.families import FAMILIES, Chart, Part
from unocclude.data.meshes import MeshStock
from unocclude.data.shapes import Floats
from unocclude.data.textures import Texture

MESH_SHARE = 0.3
"""Of the objects, where there are meshes from outside: what is drawn most is what a half-seen thing is taken for."""


@dataclass(frozen=True)
class PaintedObject:
    """Parts merged into one mesh: bounding box centred at 0, longest side 1, z up.

    vertices (V, 3), faces (F, 3), part_of_face (F,). `rest` (V, 3) is each vertex in its part's own bounding box,
    [0, 1]^3 before the object was turned, so that paint turns with it; for the chart "own" it is (u, v, 0).
    """

    family: str
    vertices: Floats
    faces: NDArray[np.int64]
    part_of_face: NDArray[np.int64]
    rest: Floats
    textures: tuple[Texture, ...]
    charts: tuple[Chart, ...]


def random_object(rng: np.random.Generator, stock: MeshStock | None = None) -> PaintedObject:
    """Draws family, form, paint and pose (mostly upright, turned about z; some tilted or lying).

    MESH_SHARE of the objects are meshes of the stock, if there is one.
    """
    if stock is not None and rng.random() < MESH_SHARE:
        family, parts = "mesh", stock.draw(rng)
    else:
        names = list(FAMILIES)
        shares = np.array([FAMILIES[name][1] for name in names])
        family = names[rng.choice(len(names), p=shares / shares.sum())]
        parts = FAMILIES[family][0](rng)
    turn = Rotation.from_euler("z", rng.uniform(0, 360), degrees=True)
    if rng.random() < 0.15:
        turn = turn * Rotation.from_euler("xy", rng.uniform(-90, 90, 2), degrees=True)
    rotation, stretch = turn.as_matrix(), rng.uniform(0.85, 1.15, 3)
    return merge(family, parts, rotation * stretch)


def merge(family: str, parts: list[Part], pose: Floats) -> PaintedObject:
    """`pose` (3, 3) is applied to all parts, then the whole is centred and scaled to longest side 1."""
    vertices, faces, rest, part_of_face, start = [], [], [], [], 0
    for index, part in enumerate(parts):
        own = part.mesh.vertices
        low, high = own.min(axis=0), own.max(axis=0)
        boxed = (own - low) / np.maximum(high - low, 1e-9)
        rest.append(boxed if part.uv is None else np.column_stack([part.uv, np.zeros(len(own))]))
        vertices.append(own @ pose.T)
        faces.append(part.mesh.faces + start)
        part_of_face.append(np.full(len(part.mesh.faces), index))
        start += len(own)
    points = np.concatenate(vertices)
    low, high = points.min(axis=0), points.max(axis=0)
    return PaintedObject(
        family,
        (points - (low + high) / 2) / (high - low).max(),
        np.concatenate(faces),
        np.concatenate(part_of_face),
        np.concatenate(rest),
        tuple(p.texture for p in parts),
        tuple(p.chart for p in parts),
    )
