"""Views of simple coloured solids, drawn by the project's own rasteriser: what the surface tests start from."""

from __future__ import annotations

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


def views_of(mesh: trimesh.Trimesh) -> ViewSet:
    """The 16 views of a mesh coloured by position."""
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    rgba = np.zeros((16, VIEW_SIZE, VIEW_SIZE, 4), np.uint8)
    for picture, camera in zip(rgba, target_cameras(), strict=True):
        raster = rasterise(vertices, faces, camera, intrinsics(), VIEW_SIZE)
        covered, weights = perspective_weights(raster, faces, project(vertices, camera, intrinsics())[1])
        points = (vertices[faces[raster.face[covered]]] * weights[..., None]).sum(1)
        picture[covered, :3] = position_colour(points)
        picture[covered, 3] = 255
    return ViewSet(rgba)
