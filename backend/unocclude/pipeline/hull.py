"""The visual hull: all that the silhouettes of the views leave possible (Laurentini 1994)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unocclude.cameras import FOCAL, VIEW_SIZE, intrinsics
from unocclude.pipeline.meshing import HALF_CUBE, Grid
from unocclude.pipeline.rasterise import project, rasterise, sample_image
from unocclude.pipeline.types import Mask, Surface

SEARCH_POINTS = 64**3


@dataclass(frozen=True)
class Silhouettes:
    """Views that show the object: masks (N, H, W) and their world-to-camera matrices (N, 3, 4)."""

    masks: Mask
    cameras: NDArray[np.float64]

    def distances(self) -> NDArray[np.float32]:
        """(N, H, W) pixels to the outline, negative inside."""
        return np.stack(
            [
                np.where(mask, 0.5 - ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask) - 0.5)
                for mask in self.masks
            ]
        ).astype(np.float32)


def hull_distance(silhouettes: Silhouettes, grid: Grid) -> NDArray[np.float32]:
    """(X, Y, Z) distance to the hull in units of the world, negative inside; a bound rather than exact.

    Beyond a picture's border its outermost pixels go on, so a clipped object is not cut off.
    """
    points = grid.points().reshape(-1, 3)
    farthest = np.full(len(points), -np.inf, np.float32)
    for outline, camera in zip(silhouettes.distances(), silhouettes.cameras, strict=True):
        pixels, depth = project(points, camera, intrinsics())
        distance = sample_image(outline[..., None], pixels)[:, 0] * depth / FOCAL
        np.maximum(farthest, distance, out=farthest)
    return farthest.reshape(grid.shape)


def hull_box(silhouettes: Silhouettes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The corners of the hull's box within the cube, to about a hundredth. Raises ValueError if the hull is empty."""
    search = Grid.around(np.full(3, -HALF_CUBE), np.full(3, HALF_CUBE), SEARCH_POINTS)
    inside = np.argwhere(hull_distance(silhouettes, search) < search.voxel / 2)
    if len(inside) == 0:
        raise ValueError("empty hull")
    low = search.origin + search.voxel * (inside.min(0) - 1)
    high = search.origin + search.voxel * (inside.max(0) + 1)
    return low, high


def base_height(surface: Surface, silhouettes: Silhouettes) -> float:
    """The z of the plane that the object stands on: the lowest point of `surface` that a view sees.

    Cameras above see nothing below the base's rim, so silhouettes leave a cone there that no picture supports.
    Pixels at the outline are left out, since they graze that cone.
    """
    heights = []
    for mask, camera in zip(silhouettes.masks, silhouettes.cameras, strict=True):
        raster = rasterise(surface.vertices, surface.faces, camera, intrinsics(), VIEW_SIZE)
        seen = (raster.face >= 0) & ndimage.binary_erosion(mask & (raster.face >= 0), iterations=1)
        if not seen.any():
            continue
        rows, columns = np.nonzero(seen)
        rays = np.stack([columns + 0.5 - VIEW_SIZE / 2, rows + 0.5 - VIEW_SIZE / 2, np.full(len(rows), FOCAL)], 1)
        points = rays / FOCAL * raster.depth[seen][:, None] - camera[:, 3]
        heights.append((points @ camera[:, :3])[:, 2])
    low = [np.quantile(z, 0.002) for z in heights]
    return float(np.median(low))
