"""A small software rasteriser: which face each pixel sees, and pictures of textured meshes. NumPy only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unocclude.pipeline.types import Image, TexturedMesh

NEAR = 1e-3
MAX_CANDIDATES = 100_000
"""Pixel and face pairs tested at once: so many stay in the processor's cache."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Raster:
    """What each pixel centre sees.

    `face` (H, W) int32, -1 where nothing is seen. `weights` (H, W, 3): barycentric coordinates in the picture
    plane, so affine there. `depth` (H, W): camera z, perspective-correct, infinite where nothing is seen.
    """

    face: NDArray[np.int32]
    weights: Floats
    depth: Floats


def project(
    vertices: NDArray[np.floating], world_to_camera: NDArray[np.floating], intrinsics: NDArray[np.floating]
) -> tuple[Floats, Floats]:
    """Pixel coordinates (V, 2) and camera z (V,) of world points (V, 3)."""
    camera = vertices @ world_to_camera[:, :3].T + world_to_camera[:, 3]
    z = camera[:, 2]
    pixels = camera @ intrinsics.T
    return (pixels[:, :2] / np.maximum(z, NEAR)[:, None]).astype(np.float32), z.astype(np.float32)


def rasterise(
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    world_to_camera: NDArray[np.floating],
    intrinsics: NDArray[np.floating],
    size: int,
) -> Raster:
    """The nearest face at every pixel centre (i + 0.5) of a square picture; faces that reach the camera are left out.

    vertices (V, 3), faces (F, 3), world_to_camera (3, 4), intrinsics (3, 3). Both sides of a face count.
    """
    xy, z = project(vertices, world_to_camera, intrinsics)
    corners, inverse_z = xy[faces], 1.0 / np.maximum(z[faces], NEAR)
    in_front = np.flatnonzero(z[faces].min(1) > NEAR)
    hits = [
        (pixel, in_front[index], weights, (weights * inverse_z[in_front[index]]).sum(1))
        for pixel, index, weights in fragments(corners[in_front], size)
    ]

    face = np.full(size * size, -1, np.int32)
    weights_of = np.zeros((size * size, 3), np.float32)
    depth = np.full(size * size, np.inf, np.float32)
    if hits:
        pixel, index, weights, nearness = (np.concatenate(part) for part in zip(*hits, strict=True))
        order = np.argsort(nearness, kind="stable")  # of repeated pixels the last assignment stays: the nearest
        pixel, index, weights, nearness = pixel[order], index[order], weights[order], nearness[order]
        face[pixel], weights_of[pixel], depth[pixel] = index, weights, 1.0 / nearness
    return Raster(face.reshape(size, size), weights_of.reshape(size, size, 3), depth.reshape(size, size))


def fragments(corners: Floats, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Floats]]:
    """The pixel centres (i + 0.5) that each 2-D triangle covers, in bounded portions.

    corners (F, 3, 2) in pixels of a (size, size) picture. Gives (N,) pixel numbers `row * size + column`, (N,) triangle
    numbers and (N, 3) barycentric weights.
    """
    low = np.clip(np.ceil(corners.min(1) - 0.5), 0, size).astype(np.int64)
    high = np.clip(np.floor(corners.max(1) - 0.5) + 1, 0, size).astype(np.int64)
    span = np.maximum(high - low, 0)
    candidates = span.prod(1)
    occupied = np.flatnonzero(candidates)
    portion = np.cumsum(candidates[occupied]) // MAX_CANDIDATES
    for number in np.unique(portion):
        chunk = occupied[portion == number]
        count = candidates[chunk]
        index = np.repeat(chunk, count)
        local = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
        column = low[index, 0] + local % span[index, 0]
        row = low[index, 1] + local // span[index, 0]
        inside, weights = _barycentric(corners[index], column, row)
        yield (row * size + column)[inside], index[inside], weights


def perspective_weights(
    raster: Raster, faces: NDArray[np.integer], vertex_depth: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], Floats]:
    """The covered pixels (H, W), and for each of these N pixels the (N, 3) barycentric weights on the face itself."""
    covered = raster.face >= 0
    weights = raster.weights[covered] / vertex_depth[faces[raster.face[covered]]]
    return covered, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def render(
    mesh: TexturedMesh,
    world_to_camera: NDArray[np.floating],
    intrinsics: NDArray[np.floating],
    size: int,
    supersample: int = 2,
) -> Image:
    """The mesh's base colour without light, as a (size, size, 4) uint8 RGBA picture with straight alpha.

    `intrinsics` are those of the picture of `size` pixels.
    """
    fine = np.asarray(intrinsics) * np.array([[supersample], [supersample], [1.0]])
    raster = rasterise(mesh.vertices, mesh.faces, world_to_camera, fine, size * supersample)
    _, depth = project(mesh.vertices, world_to_camera, fine)
    covered, weights = perspective_weights(raster, mesh.faces, depth)
    uv = (mesh.uv[mesh.faces[raster.face[covered]]] * weights[..., None]).sum(1)
    premultiplied = np.zeros((*raster.face.shape, 4), np.float32)
    premultiplied[covered, :3] = sample_texture(mesh.texture, uv)
    premultiplied[covered, 3] = 255.0
    small = premultiplied.reshape(size, supersample, size, supersample, 4).mean((1, 3))
    small[..., :3] *= 255.0 / np.maximum(small[..., 3:], 1e-6)
    return np.rint(np.clip(small, 0, 255)).astype(np.uint8)


def sample_texture(texture: Image, uv: Floats) -> Floats:
    """Bilinear (N, 3) colours, 0 to 255, at uv (N, 2), v up; the border is repeated outside."""
    height, width = texture.shape[:2]
    return sample_image(texture, np.stack([uv[:, 0] * width, (1.0 - uv[:, 1]) * height], 1))


def sample_image(image: NDArray[np.generic], xy: NDArray[np.floating]) -> Floats:
    """Bilinear (N, C) values of an (H, W, C) image at pixel coordinates (N, 2), centres at + 0.5."""
    height, width = image.shape[:2]
    x = np.clip(xy[:, 0] - 0.5, 0, width - 1)
    y = np.clip(xy[:, 1] - 0.5, 0, height - 1)
    column = np.minimum(x.astype(np.int64), max(width - 2, 0))
    row = np.minimum(y.astype(np.int64), max(height - 2, 0))
    right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
    fx = (x - column)[:, None].astype(np.float32)
    fy = (y - row)[:, None].astype(np.float32)
    upper = image[row, column] * (1 - fx) + image[row, right] * fx
    lower = image[below, column] * (1 - fx) + image[below, right] * fx
    return (upper * (1 - fy) + lower * fy).astype(np.float32)


def _barycentric(
    corners: Floats, column: NDArray[np.int64], row: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Floats]:
    """Which pixel centres (N,) are in their 2-D triangles (N, 3, 2): their numbers (M,), and weights (M, 3)."""
    x, y = (np.float32(0.5) + axis.astype(np.float32) for axis in (column, row))
    ax, ay = corners[:, 0, 0] - x, corners[:, 0, 1] - y
    bx, by = corners[:, 1, 0] - x, corners[:, 1, 1] - y
    cx, cy = corners[:, 2, 0] - x, corners[:, 2, 1] - y
    # On an edge that two triangles share, these differ in nothing but the sign: no pixel falls between the two.
    a, b, c = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    total = a + b + c
    least, most = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    inside = np.flatnonzero(((least >= 0) | (most <= 0)) & (np.abs(total) > 1e-12))
    return inside, np.stack([a[inside], b[inside], c[inside]], 1) / total[inside, None]
