"""Exact pictures of painted objects: one Embree ray a pixel, a hemisphere of ambient light and a few soft lamps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

from unocclude import cameras
from unocclude.data.families import Chart
from unocclude.data.objects import PaintedObject
from unocclude.data.shapes import Floats


@dataclass(frozen=True)
class Lighting:
    """Lamps shine from `directions` (L, 3), unit, fixed to the object, with `strengths` (L, 3) RGB. `gloss` 0..1."""

    directions: Floats
    strengths: Floats
    ambient: float
    gloss: float
    shininess: float


@dataclass(frozen=True)
class Picture:
    """rgba (S, S, 4) uint8 straight alpha; depth (S, S) float32, camera z, 0 where nothing was hit."""

    rgba: NDArray[np.uint8]
    depth: NDArray[np.float32]


def random_lighting(rng: np.random.Generator) -> Lighting:
    count = rng.integers(1, 4)
    directions = rng.normal(0, 1, (count, 3))
    directions[:, 2] = np.abs(directions[:, 2])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strengths = rng.uniform(0.15, 0.9, (count, 1)) / count * rng.uniform(0.85, 1.0, (count, 3))
    gloss = rng.uniform(0.05, 0.5) if rng.random() < 0.4 else 0.0
    return Lighting(directions, strengths, rng.uniform(0.45, 0.85), gloss, rng.uniform(5, 60))


def _chart_uv(rest: Floats, chart: Chart) -> tuple[Floats, Floats]:
    """(u, v) of positions in a part's unit box: the angle about z and the height, or face by face around the box.

    For the chart "own" they are there already.
    """
    if chart == "own":
        return rest[:, 0], rest[:, 1]
    x, y, z = (rest - 0.5).T
    if chart == "round":
        return np.arctan2(y, x) / (2 * np.pi) + 0.5, rest[:, 2]
    ax, ay, az = np.abs(x), np.abs(y), np.abs(z)
    on_x, on_z = (ax >= ay) & (ax >= az), (az > ax) & (az > ay)
    u = np.where(on_x, np.where(x > 0, 0.5 + y, 0.5 - y), np.where(y > 0, 0.5 - x, 0.5 + x))
    u = np.where(on_z, 0.5 + x, u)
    v = np.where(on_z, 0.5 + y, 0.5 + z)
    return u, v


def _vertex_normals(vertices: Floats, faces: NDArray[np.int64]) -> Floats:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    normals: Floats = np.stack(
        [np.bincount(faces.ravel(), np.repeat(flat[:, k], 3), minlength=len(vertices)) for k in range(3)], -1
    )
    return _unit(normals)


class ObjectRenderer:
    """Holds one object's ray-tracing structure, so that many views of it are cheap."""

    def __init__(self, painted: PaintedObject, lighting: Lighting) -> None:
        self._painted = painted
        self._lighting = lighting
        self._normals = _vertex_normals(painted.vertices, painted.faces)
        self._scene = rtcore_scene.EmbreeScene()
        self._mesh = TriangleMesh(self._scene, painted.vertices[painted.faces].astype(np.float32))

    def render(self, azimuth: float, elevation: float, size: int) -> Picture:
        """From SyncDreamer's camera at these degrees. Pixel centres at +0.5; one ray each, so edges are hard."""
        pose = cameras.world_to_camera(azimuth, elevation)
        rotation, translation = pose[:, :3], pose[:, 3]
        k = cameras.intrinsics(size)
        seen = self._painted.vertices @ rotation.T + translation
        pixels = seen[:, :2] / seen[:, 2:] * k[0, 0] + size / 2
        x0, y0 = np.clip(np.floor(pixels.min(axis=0)) - 1, 0, size).astype(int)
        x1, y1 = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, size).astype(int)
        columns, rows = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
        rays = np.stack(
            [(columns + 0.5 - size / 2) / k[0, 0], (rows + 0.5 - size / 2) / k[1, 1], np.ones(columns.shape)],
            -1,
        ).reshape(-1, 3)
        directions = rays @ rotation
        origin = -rotation.T @ translation
        hits = self._scene.run(
            np.broadcast_to(origin, directions.shape).astype(np.float32),
            directions.astype(np.float32),
            output=True,
        )
        hit = hits["primID"] >= 0
        rgba = np.zeros((size, size, 4), np.uint8)
        depth = np.zeros((size, size), np.float32)
        at = (rows.ravel()[hit], columns.ravel()[hit])
        depth[at] = hits["tfar"][hit]  # rays have camera z = 1, so their parameter is the depth
        colour = self._shade(hits["primID"][hit], hits["u"][hit], hits["v"][hit], directions[hit])
        rgba[(*at, slice(0, 3))] = np.round(255 * np.clip(colour, 0, 1)).astype(np.uint8)
        rgba[(*at, 3)] = 255
        return Picture(rgba, depth)

    def _shade(self, face: NDArray[np.int64], u: Floats, v: Floats, direction: Floats) -> Floats:
        weights = np.stack([1 - u - v, u, v], -1)
        corners = self._painted.faces[face]
        normal = _unit(_blend(self._normals, corners, weights))
        view = -_unit(direction)
        normal *= np.sign(_dot(normal, view))[:, None]  # the inside of a bowl is seen too
        rest = _blend(self._painted.rest, corners, weights)
        part = self._painted.part_of_face[face]
        paint = np.zeros((len(face), 3))
        for index, texture in enumerate(self._painted.textures):
            own = part == index
            if own.any():
                paint[own] = texture(*_chart_uv(rest[own], self._painted.charts[index]), rest[own])
        light = self._lighting
        colour = np.maximum(normal @ light.directions.T, 0) @ light.strengths
        colour += (light.ambient * (0.8 + 0.2 * normal[:, 2]))[:, None]
        colour *= paint
        if light.gloss > 0:
            for towards, strength in zip(light.directions, light.strengths, strict=True):
                glint = np.maximum(_dot(_unit(towards + view), normal), 0) ** light.shininess
                colour += light.gloss * glint[:, None] * strength
        return colour


def _blend(values: Floats, corners: NDArray[np.int64], weights: Floats) -> Floats:
    """Per-vertex values at barycentric positions (N, 3)."""
    return sum(
        (values[corners[:, k]] * weights[:, k, None] for k in range(1, 3)),
        values[corners[:, 0]] * weights[:, :1],
    )


def _dot(a: Floats, b: Floats) -> Floats:
    return np.einsum("nk,nk->n", a, b)


def _unit(a: Floats) -> Floats:
    return a / (np.sqrt(_dot(a, a)) + 1e-12)[:, None]
