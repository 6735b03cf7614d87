"""The rendered object library: shards of many objects, each seen by SyncDreamer's 16 cameras and by a few free ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from unocclude import cameras
from unocclude.data.filled import filled_places
from unocclude.data.meshes import MeshStock
from unocclude.data.objects import random_object
from unocclude.data.renderer import ObjectRenderer, random_lighting
from unocclude.data.shards import Arrays, write_shards
from unocclude.errors import InputError

OBJECTS_PER_SHARD = 50
QUERY_VIEWS = 4
QUERY_SIZE = 256
TARGET_SIZE = 128
DEPTH_UNITS = 20000.0
"""Stored depth is camera z times this, as uint16; 0 is empty."""
FILLED_VERTICES = 32
"""A side, of the lattice on which is stored what an object fills."""


@dataclass(frozen=True)
class RenderedObject:
    """queries (4, 256, 256, 4) at `azimuth_steps` * 22.5 degrees and free `elevations` (degrees);
    targets (16, 128, 128, 4) and target_depth (16, 128, 128) uint16. All pictures uint8 RGBA, straight alpha. filled
    (4, n^3 / 8) uint8: bits over (z, y, x), see `filled_places`, turned as each query sees the object."""

    queries: NDArray[np.uint8]
    azimuth_steps: NDArray[np.int64]
    elevations: NDArray[np.float32]
    targets: NDArray[np.uint8]
    target_depth: NDArray[np.uint16]
    filled: NDArray[np.uint8]


def _halved(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Twice-sized picture -> antialiased one (colours weighted by alpha)."""
    a, b, c, d = (rgba[y::2, x::2].astype(np.float32) for y in (0, 1) for x in (0, 1))
    weight = a[..., 3:] + b[..., 3:] + c[..., 3:] + d[..., 3:]
    colour = sum((p[..., :3] * p[..., 3:] for p in (b, c, d)), a[..., :3] * a[..., 3:]) / np.maximum(weight, 1e-6)
    return np.round(np.concatenate([colour, weight / 4], -1)).astype(np.uint8)


def render_object(seed: int, index: int, stock: MeshStock | None = None) -> RenderedObject:
    """Object number `index` of the endless sequence that `seed` starts, with meshes from outside among them or not."""
    rng = np.random.default_rng([seed, index])
    painted = random_object(rng, stock)
    renderer = ObjectRenderer(painted, random_lighting(rng))
    steps = rng.choice(cameras.VIEW_COUNT, QUERY_VIEWS, replace=False)
    elevations = rng.uniform(-5, 45, QUERY_VIEWS).astype(np.float32)
    queries = [
        _halved(renderer.render(cameras.AZIMUTHS[s], float(e), 2 * QUERY_SIZE).rgba)
        for s, e in zip(steps, elevations, strict=True)
    ]
    targets = [renderer.render(a, cameras.TARGET_ELEVATION, 2 * TARGET_SIZE) for a in cameras.AZIMUTHS]
    filled = filled_places(painted, cameras.AZIMUTHS[steps], FILLED_VERTICES)
    return RenderedObject(
        np.stack(queries),
        steps,
        elevations,
        np.stack([_halved(t.rgba) for t in targets]),
        np.stack([np.round(t.depth[::2, ::2] * DEPTH_UNITS).astype(np.uint16) for t in targets]),
        np.packbits(filled.reshape(QUERY_VIEWS, -1), axis=1),
    )


@dataclass(frozen=True)
class ObjectShards:
    """Shard after shard of the endless sequence of objects that `seed` starts. `meshes`: folders, may be none."""

    seed: int
    meshes: tuple[Path, ...] = ()

    def __call__(self, shard: int) -> Arrays:
        first = shard * OBJECTS_PER_SHARD
        stock = MeshStock(self.meshes) if self.meshes else None
        objects = [render_object(self.seed, first + k, stock) for k in range(OBJECTS_PER_SHARD)]
        return {f.name: np.stack([getattr(o, f.name) for o in objects]) for f in fields(RenderedObject)}


def write_library(folder: Path, objects: int, seed: int, workers: int, meshes: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yields each shard as it is finished. Shards that are there already are kept, so it resumes."""
    return write_shards(folder, "objects", -(-objects // OBJECTS_PER_SHARD), ObjectShards(seed, meshes), workers)


class ObjectLibrary:
    """Random access to shards; pictures are read from disk when asked for."""

    def __init__(self, shards: Sequence[Path]) -> None:
        self._shards = [safe_open(path, "numpy") for path in shards]

    @classmethod
    def in_folder(cls, folder: Path) -> ObjectLibrary:
        """Raises InputError where there are none."""
        shards = sorted(folder.glob("objects_*.safetensors"))
        if not shards:
            raise InputError(f"No rendered objects in {folder}.", "Make them with `unocclude train objects`.")
        return cls(shards)

    def __len__(self) -> int:
        return len(self._shards) * OBJECTS_PER_SHARD

    def query(self, index: int, view: int) -> NDArray[np.uint8]:
        """(256, 256, 4): one free view of one object."""
        return self._read(index, "queries", view)

    def query_camera(self, index: int, view: int) -> tuple[int, float]:
        """(azimuth step of 22.5 degrees, elevation in degrees) of that view."""
        return int(self._read(index, "azimuth_steps", view)), float(self._read(index, "elevations", view))

    def targets(self, index: int) -> NDArray[np.uint8]:
        """(16, 128, 128, 4) from SyncDreamer's cameras."""
        return self._read(index, "targets", slice(None))

    def target_depth(self, index: int) -> NDArray[np.float32]:
        """(16, 128, 128) camera z seen by the same cameras, 0 beside the object."""
        return self._read(index, "target_depth", slice(None)).astype(np.float32) / np.float32(DEPTH_UNITS)

    def filled(self, index: int, view: int) -> NDArray[np.bool_]:
        """(n, n, n) over (z, y, x): what the object fills, turned so that view 0 has that query's azimuth."""
        bits = np.unpackbits(self._read(index, "filled", view)).astype(bool)
        return bits.reshape(FILLED_VERTICES, FILLED_VERTICES, FILLED_VERTICES)

    def _read(self, index: int, name: str, item: int | slice) -> NDArray:
        shard, row = divmod(index, OBJECTS_PER_SHARD)
        return self._shards[shard].get_slice(name)[row : row + 1][0][item]
