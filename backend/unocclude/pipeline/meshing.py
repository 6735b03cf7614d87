"""From a signed distance on a grid to one clean, closed triangle mesh."""

from __future__ import annotations

from dataclasses import dataclass

import igl
import mcubes
import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy import ndimage

from unocclude.errors import UnoccludeError
from unocclude.pipeline.types import Mask, Surface

HALF_CUBE = 0.4995
"""Meshes end a little inside the cube of half side 0.5, so that rounding never leads out of it."""
MIN_FACES = 2_000


@dataclass(frozen=True)
class Grid:
    """A regular lattice of points `origin + voxel * (i, j, k)`; values on it are arrays of `shape` (X, Y, Z)."""

    origin: NDArray[np.float64]
    voxel: float
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, low: NDArray[np.floating], high: NDArray[np.floating], points: int) -> Grid:
        """The box from `low` to `high` (3,) with about `points` lattice points in all."""
        extent = np.asarray(high, np.float64) - low
        voxel = float((extent.prod() / points) ** (1 / 3))
        shape = np.ceil(extent / voxel).astype(int) + 1
        origin = (np.asarray(low) + high - voxel * (shape - 1)) / 2
        return cls(origin, voxel, (int(shape[0]), int(shape[1]), int(shape[2])))

    @property
    def high(self) -> NDArray[np.float64]:
        return self.origin + self.voxel * (np.array(self.shape) - 1)

    def box(self, inside: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The low and high corner (3,) of a part (X, Y, Z), a voxel wider. Raises ValueError if it is empty."""
        found = np.argwhere(inside)
        if len(found) == 0:
            raise ValueError("empty part")
        return self.origin + self.voxel * (found.min(0) - 1), self.origin + self.voxel * (found.max(0) + 1)

    def points(self) -> NDArray[np.float32]:
        """(X, Y, Z, 3) world coordinates."""
        axes = [self.origin[i] + self.voxel * np.arange(self.shape[i]) for i in range(3)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1).astype(np.float32)

    def above(self, height: float, sdf: NDArray[np.float32]) -> NDArray[np.float32]:
        """`sdf` (X, Y, Z) without what lies below a height."""
        heights = self.origin[2] + self.voxel * np.arange(self.shape[2])
        return np.maximum(sdf, (height - heights).astype(np.float32))


def extract_surface(sdf: NDArray[np.float32], grid: Grid, target_faces: int) -> Surface:
    """The zero level of `sdf` (X, Y, Z; negative inside) as a closed mesh of at most about `target_faces` faces.

    Loose parts and inner hollows are dropped, the mesh is kept inside the cube, and it is simplified by quadric
    errors (Garland and Heckbert 1997). Raises UnoccludeError if nothing is inside.
    """
    solid = _single_solid(_within_cube(sdf, grid))
    padded = np.pad(solid, 1, constant_values=grid.voxel)
    vertices, faces = mcubes.marching_cubes(padded, 0.0)
    vertices = grid.origin + grid.voxel * (vertices - 1)
    faces = faces[:, ::-1]  # PyMCubes winds for a density; a signed distance has the opposite sign
    vertices, faces = _simplify(vertices, faces, target_faces)
    return Surface(np.clip(vertices, -HALF_CUBE, HALF_CUBE).astype(np.float32), np.ascontiguousarray(faces, np.int32))


def is_watertight(surface: Surface) -> bool:
    """Whether every edge joins exactly two faces of opposite direction."""
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    return bool(mesh.is_watertight and mesh.is_winding_consistent)


def _within_cube(sdf: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    for axis in range(3):  # one by one, since the points of a fine grid fill gigabytes
        beyond = np.abs(grid.origin[axis] + grid.voxel * np.arange(grid.shape[axis])) - HALF_CUBE
        sdf = np.maximum(sdf, beyond.astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)]))
    return sdf


def _single_solid(sdf: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest connected inside, without hollows that no outside point reaches."""
    labels, count = ndimage.label(sdf < 0)
    if count == 0:
        raise UnoccludeError("The views left no solid shape.", "Check that all views show the same object.")
    sizes = np.bincount(labels.ravel())
    inside = labels == 1 + int(np.argmax(sizes[1:]))
    filled = ndimage.binary_fill_holes(inside)
    tiny = np.float32(1e-6)
    return np.where(filled, np.minimum(sdf, -tiny), np.maximum(sdf, tiny))


def _simplify(
    vertices: NDArray[np.float64], faces: NDArray[np.integer], target: int
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """`target` faces, or as few as edge collapses reach that keep a closed mesh closed (libigl checks each)."""
    if len(faces) <= target:
        return vertices, faces
    simple_vertices, simple_faces, *_ = igl.qslim(vertices, faces.astype(np.int32), target)
    return simple_vertices, simple_faces
