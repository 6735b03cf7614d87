"""UV coordinates, and the base-colour picture projected from the views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xatlas
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from unocclude.cameras import intrinsics, target_cameras
from unocclude.pipeline.export import vertex_normals
from unocclude.pipeline.rasterise import project, rasterise, sample_image
from unocclude.pipeline.types import FrontView, Image, Surface, TexturedMesh, ViewSet

PADDING = 4
"""Texels between charts."""
DEPTH_SLACK = 0.006
"""A texel this far (in units of the world) behind what a view sees still counts as seen."""
SHARPNESS = 4
"""Power of the cosine between normal and view: high lets the most frontal view win, low blends."""
EDGE_PIXELS = 4.0
"""Views are trusted fully only this far inside their outline, where no background shines in."""
NEIGHBOURS = 24
"""Seen texels that colour an unseen one."""
FRONT_WEIGHT = 20.0
FRONT_TOLERANCE = 40.0
"""Difference from the views' colour (0 to 255) at which the photograph loses its say."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Texels:
    """The texels that charts cover: their place in the picture, and on the surface (N, 3) points and unit normals."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    points: Floats
    normals: Floats


def texture_surface(surface: Surface, views: ViewSet, front: FrontView | None = None, size: int = 1024) -> TexturedMesh:
    """Unwrap the surface and paint a (size, size, 3) base colour from the views; with `front`, also from
    the photograph's own pixels where they agree with the views.

    Each texel blends the views that see it, the most frontal ones most. Texels that no view sees (the underside) take
    the colours of the nearest seen ones on the surface.
    """
    vertices, faces, uv = unwrap(surface, size)
    texels = _texels(vertices, faces, uv, size)
    colours = np.zeros((len(texels.points), 3), np.float32)
    weights = np.zeros(len(texels.points), np.float32)
    for rgba, camera in zip(views.rgba, target_cameras(), strict=True):
        colour, confidence = _projected(surface, texels, rgba, camera, intrinsics(rgba.shape[0]))
        colours += colour * confidence[:, None]
        weights += confidence
    seen = weights > 1e-4
    if not seen.any():
        colours, seen = np.full_like(colours, 128.0), np.ones_like(seen)
    else:
        colours[seen] /= weights[seen][:, None]
    if front is not None:
        _add_front(colours, np.minimum(weights, 1.0), surface, texels, front)
    colours[~seen] = _nearby_colours(texels.points[~seen], texels.points[seen], colours[seen])
    return TexturedMesh(vertices, faces, uv, _padded_picture(texels, colours, size))


def unwrap(surface: Surface, size: int) -> tuple[Floats, NDArray[np.int32], Floats]:
    """Vertices (V, 3) split along UV seams, faces (F, 3) and uv (V, 2), v up. Charts and packing by xatlas."""
    atlas = xatlas.Atlas()
    atlas.add_mesh(surface.vertices, surface.faces.astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution = size
    packing.padding = PADDING
    atlas.generate(pack_options=packing)
    split, faces, uv = atlas[0]
    return surface.vertices[split], faces.astype(np.int32), uv.astype(np.float32)


def _texels(vertices: Floats, faces: NDArray[np.int32], uv: Floats, size: int) -> Texels:
    flat = np.column_stack([uv[:, 0] * size, (1 - uv[:, 1]) * size, np.ones(len(uv))])
    raster = rasterise(flat, faces, np.eye(3, 4), np.eye(3), size)
    rows, columns = np.nonzero(raster.face >= 0)
    corners = faces[raster.face[rows, columns]]
    weights = raster.weights[rows, columns][..., None]
    normals = (vertex_normals(vertices, faces)[corners] * weights).sum(1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Texels(rows, columns, (vertices[corners] * weights).sum(1), normals)


def _projected(
    surface: Surface, texels: Texels, rgba: Image, camera: NDArray[np.float64], k: NDArray[np.float64]
) -> tuple[Floats, Floats]:
    """Colour (N, 3), 0 to 255, and confidence (N,), 0 to 1, that a square picture with intrinsics `k` gives."""
    size = len(rgba)
    raster = rasterise(surface.vertices, surface.faces, camera, k, size)
    pixels, depth = project(texels.points, camera, k)
    column, row = (np.clip(pixels[:, i].astype(np.int64), 0, size - 1) for i in range(2))

    toward = -camera[:, :3].T @ camera[:, 3] - texels.points
    facing = (texels.normals * toward).sum(1) / np.linalg.norm(toward, axis=1)
    facing = np.clip(facing, 0.0, 1.0)
    # Within a pixel, depth changes by the pixel's width times the tangent of the angle. The nearest depth of the
    # neighbouring pixels rejects texels just behind an occluder's edge, where its colour shines in.
    nearest = ndimage.minimum_filter(raster.depth, 3)[row, column]
    slope = np.sqrt(1 - facing**2) / np.maximum(facing, 0.05)
    visible = depth < nearest + DEPTH_SLACK + 1.5 * depth / k[0, 0] * slope

    solid = np.pad((rgba[..., 3] > 200) & (raster.face >= 0), 1)
    trust = np.clip(ndimage.distance_transform_edt(solid)[1:-1, 1:-1] / (EDGE_PIXELS * size / 256), 0, 1)
    confidence = visible * facing**SHARPNESS * trust[row, column]
    return sample_image(rgba[..., :3], pixels), confidence.astype(np.float32)


def _add_front(colours: Floats, weights: Floats, surface: Surface, texels: Texels, front: FrontView) -> None:
    """Mix the photograph into `colours` (N, 3) of weight (N,), where both agree apart from fine detail."""
    camera, k = front.world_to_camera, front.intrinsics
    colour, confidence = _projected(surface, texels, front.rgba, camera, k)
    blur = len(front.rgba) / 64
    solid = (front.rgba[..., 3:] > 127).astype(np.float32)
    coverage = ndimage.gaussian_filter(solid, (blur, blur, 0))
    smooth = ndimage.gaussian_filter(front.rgba[..., :3] * solid, (blur, blur, 0)) / np.maximum(coverage, 1e-3)
    difference = np.abs(sample_image(smooth, project(texels.points, camera, k)[0]) - colours).mean(1)
    weight = FRONT_WEIGHT * confidence * np.exp(-((difference / FRONT_TOLERANCE) ** 2))
    share = weight / np.maximum(weight + weights, 1e-6)
    colours += (colour - colours) * share[:, None]


def _nearby_colours(unseen: Floats, seen: Floats, colours: Floats) -> Floats:
    """(U, 3) mean colour of the nearest seen points, weighted by inverse distance."""
    if len(unseen) == 0:
        return np.zeros((0, 3), np.float32)
    stride = max(1, len(seen) // 40_000)  # neighbours that are not all next to each other, and a quicker search
    distance, index = cKDTree(seen[::stride]).query(unseen, k=min(NEIGHBOURS, len(seen[::stride])))
    weight = (1 / np.maximum(distance, 1e-4)).reshape(len(unseen), -1, 1)
    near = colours[::stride][index.reshape(len(unseen), -1)]
    return ((near * weight).sum(1) / weight.sum(1)).astype(np.float32)


def _padded_picture(texels: Texels, colours: Floats, size: int) -> Image:
    """The (size, size, 3) picture; texels outside the charts repeat the nearest one, so that no seam shows."""
    empty = np.ones((size, size), bool)
    empty[texels.rows, texels.columns] = False
    picture = np.zeros((size, size, 3), np.float32)
    picture[texels.rows, texels.columns] = colours
    nearest = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
    return np.rint(np.clip(picture[nearest[0], nearest[1]], 0, 255)).astype(np.uint8)
