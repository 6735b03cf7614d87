"""What a finished job brought, read from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import glb
from .camera import PhotographCamera
from .png import read_mask
from .silhouette import Drawing, Silhouette, draw, drawing_of, intersection_over_union


@dataclass(frozen=True)
class Imagined:
    """The whole object as it was imagined.

    pictures: the completions' files. views: the files of the object seen from all sides, none before they were drawn.
    chosen: which completion went on, or would. outline: the pixels of the photograph that the object covers, by
    majority of the completions; size: the photograph's width and height.
    """

    pictures: tuple[Path, ...]
    views: tuple[Path, ...]
    chosen: int | None
    outline: Silhouette
    size: tuple[int, int]
    drawing: Drawing


@dataclass(frozen=True)
class Result:
    """The mesh, and the camera that took the photograph."""

    mesh: glb.TexturedMesh
    camera: PhotographCamera


def read_imagined(folder: Path) -> Imagined:
    """Raises UnoccludeError where a file is not as it should be, OSError where one is not there."""
    outline, width, height = read_mask((folder / "amodal_mask.png").read_bytes())
    return Imagined(
        tuple(sorted(folder.glob("completion_*.png"))),
        tuple(sorted(folder.glob("views/*.png"))),
        _report(folder).get("scores", {}).get("chosen"),
        outline,
        (width, height),
        drawing_of(outline, width),
    )


def read_result(folder: Path, imagined: Imagined) -> Result:
    """Raises UnoccludeError where a file is not as it should be, OSError where one is not there."""
    camera = PhotographCamera.from_report(_report(folder), imagined.size)
    return Result(glb.read((folder / "mesh.glb").read_bytes()), camera)


def coverage(result: Result, imagined: Imagined, camera: PhotographCamera) -> float:
    """The intersection over union of the mesh, seen by this camera, with the object in the photograph."""
    positions = result.mesh.positions
    places = camera.project(zip(positions[0::3], positions[1::3], positions[2::3], strict=True))
    return intersection_over_union(draw(places, result.mesh.corners, *camera.size), imagined.outline)


def _report(folder: Path) -> dict[str, Any]:
    values = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return values if isinstance(values, dict) else {}
