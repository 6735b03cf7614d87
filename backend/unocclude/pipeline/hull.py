"""The visual hull: all that the silhouettes of the views leave possible (Laurentini 1994)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unocclude.cameras import DISTANCE, FOCAL, VIEW_SIZE, intrinsics, target_cameras
from unocclude.pipeline.meshing import HALF_CUBE, Grid
from unocclude.pipeline.rasterise import project, rasterise, sample_image
from unocclude.pipeline.types import Image, Mask, Surface, ViewSet

SEARCH = Grid.around(np.full(3, -HALF_CUBE), np.full(3, HALF_CUBE), 64**3)
MIN_FOREGROUND = 0.001
MAX_OUTVOTED = 6
"""At most so many of the sixteen views are taken to be wrong at a point."""
BETTER_BY = 1.02
"""More views are outvoted only if that explains the outlines better by this factor: true views miss some pixels too."""
UNSUPPORTED_SHARE = 0.1
UNSURE = (26, 229)
"""Opacity, of 255, of the pixels that make up a blurred outline: a tenth to nine tenths."""
DETAIL = 0.25
"""Finest detail that views show, as a share of the width over which their outlines blur."""


@dataclass(frozen=True)
class Silhouettes:
    """Views that show the object: their numbers (N,), masks (N, H, W) and world-to-camera matrices (N, 3, 4).

    `detail`: pixels of the finest detail that they show. Of anything finer, soft views say nothing; who takes it for
    true fills the surface with crumbs.
    """

    numbers: NDArray[np.intp]
    masks: Mask
    cameras: NDArray[np.float64]
    detail: float

    @classmethod
    def of(cls, views: ViewSet) -> Silhouettes:
        """The views in which the object is seen at all. Raises ValueError if there are none."""
        masks = views.rgba[..., 3] > 127
        shown = np.flatnonzero(masks.mean((1, 2)) > MIN_FOREGROUND)
        if len(shown) == 0:
            raise ValueError("no view shows anything")
        return cls(shown, masks[shown], target_cameras()[shown], DETAIL * _outline_blur(views.rgba[shown, ..., 3]))

    @cached_property
    def distances(self) -> NDArray[np.float32]:
        """(N, H, W) pixels to the outline, negative inside; smooth where the outline is soft."""
        outlines = [
            np.where(mask, 0.5 - ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask) - 0.5)
            for mask in self.masks
        ]
        return np.stack([ndimage.gaussian_filter(outline, self.detail / 2) for outline in outlines]).astype(np.float32)

    @cached_property
    def search(self) -> NDArray[np.float32]:
        """(MAX_OUTVOTED + 1, X, Y, Z) `ranked` on the lattice that hulls are compared on."""
        return self.ranked(SEARCH, MAX_OUTVOTED)

    def ranked(self, grid: Grid, outvoted: int) -> NDArray[np.float32]:
        """(outvoted + 1, X, Y, Z) the largest distance to any view's outline, the second largest and so on.

        In units of the world, negative inside. Beyond a picture's border its outermost pixels go on, so that a clipped
        object is not cut off either.
        """
        points = grid.points().reshape(-1, 3)
        ranks = np.full((outvoted + 1, len(points)), -np.inf, np.float32)
        for outline, camera in zip(self.distances, self.cameras, strict=True):
            pixels, depth = project(points, camera, intrinsics())
            distance = sample_image(outline[..., None], pixels)[:, 0] * depth / FOCAL
            for rank, farthest in enumerate(ranks):
                ranks[rank], distance = np.maximum(farthest, distance), np.minimum(farthest, distance)
        return ranks.reshape(-1, *grid.shape)


@dataclass(frozen=True)
class VisualHull:
    """`outvoted`: how many views may hold a point to be outside, and yet it is inside.

    None if the views agree. Where they do not, outlines that are wrong in different places would cut each other off.
    """

    silhouettes: Silhouettes
    outvoted: int

    @classmethod
    def of(cls, silhouettes: Silhouettes) -> VisualHull:
        """The hull whose own outlines come close to the views' own, in mean IoU, with as few outvoted as need be."""
        hull = cls(silhouettes, 0)
        explained = hull._explained()
        while hull.outvoted < MAX_OUTVOTED:
            freer = cls(silhouettes, hull.outvoted + 1)
            better = freer._explained()
            if explained > 0 and better <= BETTER_BY * explained:
                break
            hull, explained = freer, better
        return hull

    def distance(self, grid: Grid) -> NDArray[np.float32]:
        """(X, Y, Z) distance to the hull in units of the world, negative inside; a bound rather than exact."""
        return self.silhouettes.ranked(grid, self.outvoted)[-1]

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The low and high corner (3,) of the hull's box within the cube. Raises ValueError if the hull is empty."""
        return SEARCH.box(self._inside())

    def outlines(self) -> Mask:
        """(N, H, W) what the views would show of the hull, true to a few pixels."""
        inside = SEARCH.points()[self._inside()]
        gaps = int(np.ceil(SEARCH.voxel * FOCAL / (DISTANCE - HALF_CUBE) / 2))
        shown = np.zeros_like(self.silhouettes.masks)
        for outline, camera in zip(shown, self.silhouettes.cameras, strict=True):
            column, row = np.clip(project(inside, camera, intrinsics())[0].astype(int), 0, VIEW_SIZE - 1).T
            outline[row, column] = True
            outline |= ndimage.binary_closing(outline, np.ones((3, 3)), iterations=gaps)
        return shown

    def _inside(self) -> Mask:
        """(X, Y, Z) on the lattice that hulls are compared on."""
        return self.silhouettes.search[self.outvoted] < 0

    def _explained(self) -> float:
        """Mean IoU of the hull's outlines and the views'."""
        masks, outlines = self.silhouettes.masks, self.outlines()
        union = (masks | outlines).sum((1, 2))
        return float(((masks & outlines).sum((1, 2)) / np.maximum(union, 1)).mean())


def _outline_blur(opacity: Image) -> float:
    """Pixels over which the outlines of opacities (N, H, W) go from opaque to clear, mean of the views."""
    inside = opacity > 127
    outline = inside & ~np.stack([ndimage.binary_erosion(mask) for mask in inside])
    unsure = (opacity >= UNSURE[0]) & (opacity <= UNSURE[1])
    return float((unsure.sum((1, 2)) / outline.sum((1, 2))).mean())


def unsupported_views(views: ViewSet) -> list[int]:
    """Numbers of the views whose outline holds much that the other views rule out: they show another object.

    Empty if all agree; also if nothing is common to them, which `VisualHull.box` tells. Raises ValueError if
    no view shows anything.
    """
    hull = VisualHull.of(Silhouettes.of(views))
    outlines = hull.outlines()
    if not outlines.any():
        return []
    masks = hull.silhouettes.masks
    near = np.stack([ndimage.binary_dilation(outline, iterations=2) for outline in outlines])
    ruled_out = (masks & ~near).sum((1, 2))
    return hull.silhouettes.numbers[ruled_out > UNSUPPORTED_SHARE * masks.sum((1, 2))].tolist()


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
