"""The visual hull: all that the silhouettes of the views leave possible (Laurentini 1994)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unocclude.cameras import FOCAL, TARGET_ELEVATION, VIEW_SIZE, intrinsics, target_cameras
from unocclude.pipeline.meshing import HALF_CUBE, Grid
from unocclude.pipeline.rasterise import project, rasterise, sample_image
from unocclude.pipeline.types import Mask, Surface, ViewSet

SEARCH_POINTS = 64**3
MIN_FOREGROUND = 0.001


@dataclass(frozen=True)
class Silhouettes:
    """Views that show the object: masks (N, H, W) and their world-to-camera matrices (N, 3, 4)."""

    masks: Mask
    cameras: NDArray[np.float64]

    @classmethod
    def of(cls, views: ViewSet) -> Silhouettes:
        """The views in which the object is seen at all."""
        masks = views.rgba[..., 3] > 127
        shown = masks.mean((1, 2)) > MIN_FOREGROUND
        return cls(masks[shown], target_cameras()[shown])

    def distances(self) -> NDArray[np.float32]:
        """(N, H, W) pixels to the outline, negative inside."""
        outlines = [
            np.where(mask, 0.5 - ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask) - 0.5)
            for mask in self.masks
        ]
        return np.stack(outlines).astype(np.float32)


def hull_distance(silhouettes: Silhouettes, grid: Grid) -> NDArray[np.float32]:
    """(X, Y, Z) distance to the hull in units of the world, negative inside; a bound rather than exact.

    Two views must agree that a point is outside, so that one wrong outline cuts nothing off. Beyond a picture's
    border its outermost pixels go on, so that a clipped object is not cut off either.
    """
    points = grid.points().reshape(-1, 3)
    farthest = np.full(len(points), -np.inf, np.float32)
    second = farthest.copy()
    for outline, camera in zip(silhouettes.distances(), silhouettes.cameras, strict=True):
        pixels, depth = project(points, camera, intrinsics())
        distance = sample_image(outline[..., None], pixels)[:, 0] * depth / FOCAL
        second = np.maximum(second, np.minimum(farthest, distance))
        farthest = np.maximum(farthest, distance)
    return second.reshape(grid.shape)


def hull_box(silhouettes: Silhouettes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The low and high corner (3,) of the hull's box within the cube. Raises ValueError if the hull is empty."""
    search = Grid.around(np.full(3, -HALF_CUBE), np.full(3, HALF_CUBE), SEARCH_POINTS)
    inside = np.argwhere(hull_distance(silhouettes, search) < 0)
    if len(inside) == 0:
        raise ValueError("empty hull")
    low = search.origin + search.voxel * (inside.min(0) - 1)
    high = search.origin + search.voxel * (inside.max(0) + 1)
    return low, high


def base_height(surface: Surface, silhouettes: Silhouettes) -> float:
    """The z at which the object stands; below it, the views' outlines leave a cone that no picture supports.

    The frame is centred on the object's box, so it should stand at minus the height of its top. That counts as far as
    it is possible: not above the lowest point that the views see, and not lower than a ball of the object's width
    hides from cameras at 30 degrees.
    """
    lowest = _lowest_seen(surface, silhouettes)
    width = np.ptp(surface.vertices[:, :2], axis=0).mean()
    hidden = (1 - np.cos(np.deg2rad(TARGET_ELEVATION))) * width / 2
    return float(np.clip(-surface.vertices[:, 2].max(), lowest - hidden, lowest))


def _lowest_seen(surface: Surface, silhouettes: Silhouettes) -> float:
    """The median over the views of the lowest z of `surface` that they see clear of the outline."""
    lowest = []
    for mask, camera in zip(silhouettes.masks, silhouettes.cameras, strict=True):
        raster = rasterise(surface.vertices, surface.faces, camera, intrinsics(), VIEW_SIZE)
        rows, columns = np.nonzero(ndimage.binary_erosion(mask & (raster.face >= 0)))
        rays = np.column_stack([columns + 0.5, rows + 0.5, np.ones(len(rows))]) @ np.linalg.inv(intrinsics()).T
        heights = ((rays * raster.depth[rows, columns, None] - camera[:, 3]) @ camera[:, :3])[:, 2]
        if len(heights):
            lowest.append(heights.min())
    return float(np.median(lowest)) if lowest else float(surface.vertices[:, 2].min())
