"""The visual hull: all that the silhouettes of the views leave possible (Laurentini 1994)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unocclude.cameras import DISTANCE, FOCAL, VIEW_SIZE, intrinsics, target_cameras
from unocclude.pipeline.meshing import HALF_CUBE, Grid
from unocclude.pipeline.rasterise import project, rasterise, sample_image
from unocclude.pipeline.types import Mask, Surface, ViewSet

SEARCH_POINTS = 64**3
MIN_FOREGROUND = 0.001
AGREED_SHARE = 0.7
"""Views agree if no single one of them cuts off more than the rest of what the others leave."""

UNSUPPORTED_SHARE = 0.1


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

    Where the views disagree, two of them must hold a point to be outside, so that one wrong outline cuts nothing off.
    Beyond a picture's border its outermost pixels go on, so that a clipped object is not cut off either.
    """
    points = grid.points().reshape(-1, 3)
    farthest = np.full(len(points), -np.inf, np.float32)
    second = farthest.copy()
    for outline, camera in zip(silhouettes.distances(), silhouettes.cameras, strict=True):
        pixels, depth = project(points, camera, intrinsics())
        distance = sample_image(outline[..., None], pixels)[:, 0] * depth / FOCAL
        second = np.maximum(second, np.minimum(farthest, distance))
        farthest = np.maximum(farthest, distance)
    agreed = (farthest < 0).sum() >= AGREED_SHARE * (second < 0).sum()
    return (farthest if agreed else second).reshape(grid.shape)


def hull_box(silhouettes: Silhouettes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The low and high corner (3,) of the hull's box within the cube. Raises ValueError if the hull is empty."""
    search = Grid.around(np.full(3, -HALF_CUBE), np.full(3, HALF_CUBE), SEARCH_POINTS)
    inside = np.argwhere(hull_distance(silhouettes, search) < 0)
    if len(inside) == 0:
        raise ValueError("empty hull")
    low = search.origin + search.voxel * (inside.min(0) - 1)
    high = search.origin + search.voxel * (inside.max(0) + 1)
    return low, high


def unsupported_views(views: ViewSet) -> list[int]:
    """Numbers of the views whose outline holds much that the other views rule out: they show another object.

    Empty if all agree; also if nothing is common to them, which `hull_box` tells.
    """
    silhouettes = Silhouettes.of(views)
    search = Grid.around(np.full(3, -HALF_CUBE), np.full(3, HALF_CUBE), SEARCH_POINTS)
    inside = search.points()[hull_distance(silhouettes, search) < 0]
    if len(inside) == 0:
        return []
    gaps = int(np.ceil(search.voxel * FOCAL / (DISTANCE - HALF_CUBE) / 2))
    shown = np.flatnonzero((views.rgba[..., 3] > 127).mean((1, 2)) > MIN_FOREGROUND)
    found = []
    for number, mask, camera in zip(shown, silhouettes.masks, silhouettes.cameras, strict=True):
        column, row = np.clip(project(inside, camera, intrinsics())[0].astype(int), 0, VIEW_SIZE - 1).T
        possible = np.zeros_like(mask)
        possible[row, column] = True
        ruled_out = mask & ~ndimage.binary_dilation(possible, np.ones((3, 3)), iterations=gaps)
        if ruled_out.sum() > UNSUPPORTED_SHARE * mask.sum():
            found.append(int(number))
    return found


def base_height(surface: Surface, silhouettes: Silhouettes) -> float:
    """The z at which the object stands; below it, the views' outlines leave a cone that no picture supports.

    The frame is centred on the object's box, so it stands at minus the height of its top, as far as the views allow:
    not above the lowest point that they see.
    """
    return float(min(-surface.vertices[:, 2].max(), _lowest_seen(surface, silhouettes)))


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
