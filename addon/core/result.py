"""What a finished job brought, read from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..wire.errors import UnoccludeError
from ..wire.protocol import Square
from . import glb
from .camera import PhotographCamera
from .png import read_mask
from .silhouette import Drawing, Silhouette, draw, drawing_of, intersection_over_union


@dataclass(frozen=True)
class Imagined:
    """The whole object as it was imagined.

    pictures: the completions' files. views: the files of the object seen from all sides, none before they were drawn.
    chosen: which completion went on, or would. outline: the pixels of the photograph that the object covers, by
    majority of the completions; size: the photograph's width and height. crop: where in it the completions lie.
    """

    pictures: tuple[Path, ...]
    views: tuple[Path, ...]
    chosen: int | None
    outline: Silhouette
    size: tuple[int, int]
    drawing: Drawing
    crop: Square


@dataclass(frozen=True)
class Result:
    """The mesh, and the camera that took the photograph."""

    mesh: glb.TexturedMesh
    camera: PhotographCamera


def read_imagined(folder: Path) -> Imagined:
    """Raises UnoccludeError where a file is not as it should be, OSError where one is not there."""
    outline, width, height = read_mask((folder / "amodal_mask.png").read_bytes())
    report = _report(folder)
    return Imagined(
        tuple(sorted(folder.glob("completion_*.png"))),
        tuple(sorted(folder.glob("views/*.png"))),
        report.get("scores", {}).get("chosen"),
        outline,
        (width, height),
        drawing_of(outline, width),
        _crop(report),
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


def _crop(report: dict[str, Any]) -> Square:
    crop = report.get("crop", {})
    try:
        return int(crop["left"]), int(crop["top"]), int(crop["side"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnoccludeError(
            f"The job does not tell where its completions lie ({error!r}).",
            "Update the add-on and the backend to the same version.",
        ) from error


def _report(folder: Path) -> dict[str, Any]:
    values = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return values if isinstance(values, dict) else {}
