"""Views of simple coloured solids, drawn by the project's own rasteriser: what the surface tests start from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import trimesh
from unocclude.cameras import VIEW_SIZE, intrinsics, target_cameras
from unocclude.pipeline.rasterise import perspective_weights, project, rasterise
from unocclude.pipeline.types import ViewSet


def sphere(radius: float = 0.4) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=4, radius=radius)


def box(x: float = 0.5, y: float = 0.4, z: float = 0.8) -> trimesh.Trimesh:
    return trimesh.creation.box((x, y, z))


def position_colour(points: np.ndarray) -> np.ndarray:
    """(N, 3) uint8: red grows with x, green with y, blue with z, over the unit cube."""
    return np.rint((np.clip(points, -0.5, 0.5) + 0.5) * 255).astype(np.uint8)


def chequered_colour(points: np.ndarray) -> np.ndarray:
    """(N, 3) uint8: cubes of a tenth, in turn light and dark."""
    dark = np.floor(points * 10 + 0.5).sum(1, keepdims=True) % 2 == 1
    return np.where(dark, position_colour(points) // 3, position_colour(points))


def views_of(mesh: trimesh.Trimesh, colour: Callable[[np.ndarray], np.ndarray] = position_colour) -> ViewSet:
    """The 16 views of a mesh, its `colour` a function of the place."""
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    rgba = np.zeros((16, VIEW_SIZE, VIEW_SIZE, 4), np.uint8)
    for picture, camera in zip(rgba, target_cameras(), strict=True):
        raster = rasterise(vertices, faces, camera, intrinsics(), VIEW_SIZE)
        covered, weights = perspective_weights(raster, faces, project(vertices, camera, intrinsics())[1])
        points = (vertices[faces[raster.face[covered]]] * weights[..., None]).sum(1)
        picture[covered, :3] = colour(points)
        picture[covered, 3] = 255
    return ViewSet(rgba)
