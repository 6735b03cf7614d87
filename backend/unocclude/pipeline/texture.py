"""UV unwrapping and the base-colour picture, projected from the views."""

from __future__ import annotations

import numpy as np
import xatlas
from numpy.typing import NDArray
from scipy import ndimage

from unocclude.cameras import VIEW_SIZE, intrinsics, target_cameras
from unocclude.pipeline.export import vertex_normals
from unocclude.pipeline.rasterise import project, rasterise, sample_image
from unocclude.pipeline.types import Surface, TexturedMesh, ViewSet

SLACK = 0.012
"""How far, in units of the world, a texel may lie behind what a view sees and still be seen."""


def texture_surface(surface: Surface, views: ViewSet, size: int = 1024) -> TexturedMesh:
    vertices, faces, uv = unwrap(surface, size)
    normals = vertex_normals(vertices, faces)
    texel_mask, points, point_normals = _texels(vertices, faces, uv, normals, size)
    total = np.zeros((len(points), 3), np.float32)
    weight = np.zeros(len(points), np.float32)
    for rgba, camera in zip(views.rgba, target_cameras(), strict=True):
        colour, confidence = _project(surface, points, point_normals, rgba, camera)
        total += colour * confidence[:, None]
        weight += confidence
    texture = np.zeros((size, size, 3), np.float32)
    known = np.zeros((size, size), bool)
    seen = weight > 1e-4
    rows, columns = np.nonzero(texel_mask)
    texture[rows[seen], columns[seen]] = total[seen] / weight[seen][:, None]
    known[rows[seen], columns[seen]] = True
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    texture = texture[nearest[0], nearest[1]]
    return TexturedMesh(vertices, faces, uv, np.rint(np.clip(texture, 0, 255)).astype(np.uint8))


def unwrap(surface: Surface, size: int):
    atlas = xatlas.Atlas()
    atlas.add_mesh(surface.vertices, surface.faces.astype(np.uint32))
    chart = xatlas.ChartOptions()
    chart.max_iterations = 1
    pack = xatlas.PackOptions()
    pack.resolution = size
    pack.padding = 4
    pack.bilinear = True
    atlas.generate(chart, pack)
    vmap, indices, uv = atlas[0]
    return surface.vertices[vmap], indices.astype(np.int32), uv.astype(np.float32)


def _texels(vertices, faces, uv, normals, size):
    flat = np.stack([uv[:, 0] * size, (1 - uv[:, 1]) * size, np.ones(len(uv))], 1)
    identity = np.hstack([np.eye(3), np.zeros((3, 1))])
    raster = rasterise(flat, faces, identity, np.eye(3), size)
    covered = raster.face >= 0
    w = raster.weights[covered][..., None]
    f = faces[raster.face[covered]]
    n = (normals[f] * w).sum(1)
    return covered, (vertices[f] * w).sum(1), n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9)


def _project(surface, points, normals, rgba, camera):
    raster = rasterise(surface.vertices, surface.faces, camera, intrinsics(), VIEW_SIZE)
    pixels, depth = project(points, camera, intrinsics())
    column = np.clip(pixels[:, 0].astype(int), 0, VIEW_SIZE - 1)
    row = np.clip(pixels[:, 1].astype(int), 0, VIEW_SIZE - 1)
    visible = depth < raster.depth[row, column] + SLACK
    centre = -camera[:, :3].T @ camera[:, 3]
    toward = centre - points
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    facing = np.clip((normals * toward).sum(1), 0, 1)
    edge = np.clip(ndimage.distance_transform_edt((rgba[..., 3] > 200) & (raster.face >= 0)) / 4, 0, 1)
    confidence = visible * facing**4 * edge[row, column]
    return sample_image(rgba[..., :3].astype(np.float32), pixels), confidence.astype(np.float32)
