"""How good the meshes are that come from known views: Chamfer distance, volume IoU, and the views drawn again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image as PilImage

from unocclude.cameras import VIEW_SIZE, intrinsics, target_cameras, world_to_camera
from unocclude.errors import InputError
from unocclude.evaluation.geometry import chamfer_distance, inside_voxels, seen_points, volume_iou
from unocclude.evaluation.scenes import on_white
from unocclude.pipeline.export import write_glb
from unocclude.pipeline.meshing import is_watertight
from unocclude.pipeline.rasterise import render
from unocclude.pipeline.report import peak_ram_mb
from unocclude.pipeline.surface import fit_surface
from unocclude.pipeline.texture import texture_surface
from unocclude.pipeline.types import Image, TexturedMesh, ViewSet
from unocclude.pipeline.view_files import load_views
from unocclude.protocol import Preset

SCAN_TURN = -270.0
"""Degrees about z from a scan as published to the frame of its views (SyncDreamer's table, for the chicken)."""
TURNTABLE = [(elevation, azimuth) for elevation in (30, -25) for azimuth in range(0, 360, 60)]


@dataclass(frozen=True)
class Case:
    """Views, and the true mesh in their frame."""

    name: str
    views: ViewSet
    truth: trimesh.Trimesh


@dataclass(frozen=True)
class Row:
    """`iou` is NaN where the true mesh is open. `psnr`: the 16 views drawn again from the mesh, on white, in dB.

    `cpu_seconds` are this process's: on a busy machine, `seconds` are more. `memory_mb`: its peak so far, NaN on
    Windows, whose Python does not tell.
    """

    name: str
    chamfer: float
    iou: float
    psnr: float
    faces: int
    closed: bool
    seconds: float
    cpu_seconds: float
    memory_mb: float


def evaluate(data: Path, out: Path | None = None, preset: Preset = "balanced") -> dict[str, float]:
    """Prints a table over all view sets below `data` and returns the means. With `out`: the meshes and turntables too.

    `data` holds objects/NAME/{targets.png, mesh.glb, meta.json}, or true_mesh.obj and folders NAME_views of 16 files.
    Raises InputError if it holds neither.
    """
    rows = []
    print(f"{'views':<24}{'chamfer':>9}{'iou':>7}{'psnr':>7}{'faces':>8}{'closed':>8}"
          f"{'seconds':>9}{'cpu s':>8}{'MB':>7}")  # fmt: skip
    for case in cases(data):
        row, mesh = measure(case, preset)
        rows.append(row)
        print(f"{row.name:<24}{row.chamfer:9.5f}{row.iou:7.3f}{row.psnr:7.2f}{row.faces:8d}{row.closed!s:>8}"
              f"{row.seconds:9.1f}{row.cpu_seconds:8.1f}{row.memory_mb:7.0f}", flush=True)  # fmt: skip
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            write_glb(mesh, out / f"{row.name}.glb", {"preset": preset})
            PilImage.fromarray(turntable(case.views, mesh)).save(out / f"{row.name}.png")
    if not rows:
        raise InputError(f"{data} holds no view sets with true meshes.", "Name the folder that holds objects/.")
    names = ("chamfer", "iou", "psnr", "seconds", "cpu_seconds")
    means = {name: float(np.nanmean([getattr(row, name) for row in rows])) for name in names}
    print(f"{'mean':<24}{means['chamfer']:9.5f}{means['iou']:7.3f}{means['psnr']:7.2f}{'':16}"
          f"{means['seconds']:9.1f}{means['cpu_seconds']:8.1f}")  # fmt: skip
    if out is not None:
        (out / "surface.json").write_text(json.dumps({"mean": means, "rows": [asdict(row) for row in rows]}, indent=2))
    return means


def views_psnr(mesh: TexturedMesh, views: ViewSet, which: slice = slice(None)) -> float:
    """Mean PSNR in dB, over the views or over `which` of them, of the mesh drawn from their cameras; both on white."""
    errors = [
        ((on_white(render(mesh, camera, intrinsics(), VIEW_SIZE)) - on_white(rgba)) ** 2).mean()
        for rgba, camera in zip(views.rgba[which], target_cameras()[which], strict=True)
    ]
    return float(np.mean(-10 * np.log10(np.maximum(errors, 1e-10))))


def turntable(views: ViewSet, mesh: TexturedMesh) -> Image:
    """Some of the views, and below them the mesh all around, from above and from below: (3 * 256, 6 * 256, 3)."""
    drawn = [render(mesh, world_to_camera(a, e), intrinsics(), VIEW_SIZE) for e, a in TURNTABLE]
    given = [views.rgba[index] for index in (0, 3, 5, 8, 11, 13)]
    tiles = np.stack([on_white(tile) * 255 for tile in (*given, *drawn)]).round().astype(np.uint8)
    return tiles.reshape(3, 6, VIEW_SIZE, VIEW_SIZE, 3).swapaxes(1, 2).reshape(3 * VIEW_SIZE, 6 * VIEW_SIZE, 3)


def measure(case: Case, preset: Preset) -> tuple[Row, TexturedMesh]:
    """Fits, textures and compares with the truth; the comparison is not part of the seconds."""
    start, cpu_start = time.perf_counter(), time.process_time()
    surface = fit_surface(case.views, preset)
    mesh = texture_surface(surface, case.views)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    memory = peak_ram_mb()
    vertices, faces = np.asarray(case.truth.vertices), np.asarray(case.truth.faces)
    iou = float("nan")
    if case.truth.is_watertight:
        iou = volume_iou(inside_voxels(surface.vertices, surface.faces), inside_voxels(vertices, faces))
    chamfer = chamfer_distance(seen_points(surface.vertices, surface.faces), seen_points(vertices, faces))
    psnr = views_psnr(mesh, case.views)
    row = Row(
        name=case.name,
        chamfer=chamfer,
        iou=iou,
        psnr=psnr,
        faces=len(surface.faces),
        closed=is_watertight(surface),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        memory_mb=float("nan") if memory is None else float(memory),
    )
    return row, mesh


def held_out_psnr(case: Case, preset: Preset) -> float:
    """PSNR in dB of every second view, drawn from a mesh that only the others were used for."""
    given = case.views.rgba.copy()
    given[1::2] = 0
    mesh = texture_surface(fit_surface(ViewSet(given), preset), ViewSet(given))
    return views_psnr(mesh, case.views, slice(1, None, 2))


def cases(data: Path) -> Iterator[Case]:
    """All view sets below `data` that `evaluate` describes."""
    for path in sorted((data / "objects").glob("*/targets.png")):
        yield object_case(path.parent)
    if (data / "true_mesh.obj").is_file():
        truth = _turned(_mesh(data / "true_mesh.obj"), SCAN_TURN)
        low, high = truth.bounds
        truth.apply_translation(-(low + high) / 2)
        truth.apply_scale(1 / (high - low).max())
        for folder in sorted(data.glob("*_views")):
            yield Case(folder.name, load_views(folder)[0], truth)


def object_case(folder: Path) -> Case:
    """objects/NAME: the true views, and the true mesh turned so that the query's azimuth is 0."""
    with PilImage.open(folder / "targets.png") as strip:
        views = np.array(strip.convert("RGBA")).reshape(VIEW_SIZE, -1, VIEW_SIZE, 4).swapaxes(0, 1)
    azimuth = json.loads((folder / "meta.json").read_text())["camera"]["azimuth_deg"]
    return Case(folder.name, ViewSet(np.ascontiguousarray(views)), _turned(_mesh(folder / "mesh.glb"), -azimuth))


def _mesh(path: Path) -> trimesh.Trimesh:
    mesh = trimesh.load_mesh(path)
    return trimesh.Trimesh(mesh.vertices, mesh.faces)  # without texture, vertices split by UV seams are merged


def _turned(mesh: trimesh.Trimesh, degrees: float) -> trimesh.Trimesh:
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.deg2rad(degrees), [0, 0, 1]))
    return mesh
