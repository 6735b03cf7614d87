"""UV coordinates, and the base-colour picture projected from the views."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xatlas
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy import ndimage
from scipy.spatial import cKDTree

from unocclude.cameras import intrinsics, target_cameras
from unocclude.pipeline.export import vertex_normals
from unocclude.pipeline.rasterise import project, rasterise, render, sample_image
from unocclude.pipeline.types import FrontView, Image, Mask, Surface, TexturedMesh, ViewSet

PADDING = 4
"""Texels between charts."""
CHART_COST = 0.25
"""Where xatlas stops growing a chart. By its default, 2, it takes three times as long for no fewer charts."""
DEPTH_SLACK = 0.006
"""A texel this far (in units of the world) behind what a view sees still counts as seen."""
SHARPNESS = 4
"""Power of the cosine between normal and view: high lets the most frontal view win, low blends."""
EDGE_PIXELS = 4.0
"""Views are trusted fully only this far inside their outline."""
SHINE_PIXELS = 2.0
"""So far inside the outline of a picture of 256 pixels, the background may shine in: those pixels are not used."""
NEIGHBOURS = 24
"""Seen texels that colour an unseen one."""
BLOCK = 4
"""Unseen texels have no detail: blocks of so many by so many share a colour."""
FRONT_WEIGHT = 20.0
FRONT_TOLERANCE = 40.0
"""Difference from the views' colour (0 to 255) at which the photograph loses its say."""
COMPARED_SIZE, COMPARED_BLUR = 128, 4.0
"""Photograph and views are compared at this size, blurred by so many pixels: only the photograph has fine detail."""

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
        index, colour, confidence = _projected(surface, texels, rgba, camera, intrinsics(rgba.shape[0]))
        colours[index] += colour * confidence[:, None]
        weights[index] += confidence
    seen = weights > 1e-4
    if not seen.any():
        colours, seen = np.full_like(colours, 128.0), np.ones_like(seen)
    else:
        colours[seen] /= weights[seen][:, None]
    blocks = np.stack([texels.rows, texels.columns])[:, ~seen] // BLOCK
    _, first, member = np.unique(blocks[0] * size + blocks[1], return_index=True, return_inverse=True)
    colours[~seen] = _nearby_colours(texels.points[~seen][first], texels.points[seen], colours[seen])[member]
    mesh = TexturedMesh(vertices, faces, uv, _padded_picture(texels, colours, size))
    if front is None:
        return mesh
    index, colour, confidence = _projected(surface, texels, front.rgba, front.world_to_camera, front.intrinsics)
    front_weight = FRONT_WEIGHT * confidence * _agreement(mesh, texels.points[index], front)
    share = front_weight / np.maximum(front_weight + np.minimum(weights[index], 1.0), 1e-6)
    colours[index] += (colour - colours[index]) * share[:, None]
    return replace(mesh, texture=_padded_picture(texels, colours, size))


def unwrap(surface: Surface, size: int) -> tuple[Floats, NDArray[np.int32], Floats]:
    """Vertices (V, 3) split along UV seams, faces (F, 3) and uv (V, 2), v up. Charts and packing by xatlas."""
    atlas = xatlas.Atlas()
    atlas.add_mesh(surface.vertices, surface.faces.astype(np.uint32))
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_cost = CHART_COST
    packing.resolution = size
    packing.padding = PADDING
    atlas.generate(charts, packing)
    split, faces, uv = atlas[0]
    return surface.vertices[split], faces.astype(np.int32), uv.astype(np.float32)


def _texels(vertices: Floats, faces: NDArray[np.int32], uv: Floats, size: int) -> Texels:
    flat = np.column_stack([uv[:, 0] * size, (1 - uv[:, 1]) * size, np.ones(len(uv))])
    raster = rasterise(flat, faces, np.eye(3, 4), np.eye(3), size)
    rows, columns = np.nonzero(raster.face >= 0)
    corners = faces[raster.face[rows, columns]]
    weights = raster.weights[rows, columns]
    points, normals = (
        np.einsum("nc,ncx->nx", weights, values[corners]) for values in (vertices, vertex_normals(vertices, faces))
    )
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Texels(rows, columns, points, normals)


def _projected(
    surface: Surface, texels: Texels, rgba: Image, camera: NDArray[np.float64], k: NDArray[np.float64]
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """What a square picture with intrinsics `k` shows: the numbers (M,) of the texels that it sees, their colours
    (M, 3), 0 to 255, and its confidence in them (M,), 0 to 1.
    """
    size = len(rgba)
    raster = rasterise(surface.vertices, surface.faces, camera, k, size)
    inside, pure = _away_from_background((rgba[..., 3] > 200) & (raster.face >= 0))
    trust = np.where(pure, np.clip(inside / EDGE_PIXELS, 0.1, 1), 0).astype(np.float32)

    eye = (-camera[:, :3].T @ camera[:, 3]).astype(np.float32)
    index = np.flatnonzero(((eye - texels.points) * texels.normals).sum(1) > 0)
    points, normals = texels.points[index], texels.normals[index]
    toward = eye - points
    facing = np.minimum((normals * toward).sum(1) / np.linalg.norm(toward, axis=1), 1.0)
    pixels, depth = project(points, camera, k)
    column, row = (np.clip(pixels[:, i].astype(np.int64), 0, size - 1) for i in range(2))
    # Within a pixel, depth changes by the pixel's width times the tangent of the angle. The nearest depth of the
    # neighbouring pixels rejects texels just behind an occluder's edge, where its colour shines in.
    nearest = ndimage.minimum_filter(raster.depth, 3)[row, column]
    slope = np.sqrt(1 - facing**2) / np.maximum(facing, 0.05)
    visible = depth < nearest + DEPTH_SLACK + 1.5 * depth / k[0, 0] * slope
    confidence = facing**SHARPNESS * trust[row, column]
    used = np.flatnonzero(visible & (confidence > 0))

    # Between pixels, too, no background may shine in: there, the nearest pure pixel is repeated.
    nearest_pure = ndimage.distance_transform_edt(~pure, return_distances=False, return_indices=True)
    return index[used], sample_image(rgba[(*nearest_pure, slice(3))], pixels[used]), confidence[used]


def _away_from_background(outline: Mask) -> tuple[Floats, Mask]:
    """How far each pixel (H, W) is from the background, in pixels of a picture of 256, and whether it is free of it."""
    inside = ndimage.distance_transform_edt(np.pad(outline, 1))[1:-1, 1:-1] * 256 / len(outline)
    # The middle of what is too thin to have an inside stands for it.
    pure = outline & ((inside > SHINE_PIXELS) | (inside >= ndimage.maximum_filter(inside, 5)))
    return inside.astype(np.float32), pure


def _agreement(mesh: TexturedMesh, points: Floats, front: FrontView) -> Floats:
    """(N,) how far the photograph agrees at points (N, 3), apart from fine detail, with the views' colours: 0 to 1."""
    size = len(front.rgba)
    small = COMPARED_SIZE / size
    k = front.intrinsics * np.array([[small], [small], [1.0]])
    photograph = np.asarray(
        PillowImage.fromarray(front.rgba).resize((COMPARED_SIZE, COMPARED_SIZE), PillowImage.Resampling.BOX)
    )
    drawn = render(mesh, front.world_to_camera, k, COMPARED_SIZE)
    both = (photograph[..., 3:] > 127) & (drawn[..., 3:] > 127)
    difference = (photograph[..., :3].astype(np.float32) - drawn[..., :3]) * both
    blur = (COMPARED_BLUR, COMPARED_BLUR, 0)
    smooth = ndimage.gaussian_filter(difference, blur) / np.maximum(
        ndimage.gaussian_filter(both.astype(np.float32), blur), 1e-3
    )
    agreement = np.exp(-((np.abs(smooth).mean(-1, keepdims=True) / FRONT_TOLERANCE) ** 2))
    pixels, _ = project(points, front.world_to_camera, k)
    return sample_image(agreement, pixels)[:, 0]


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
