"""What a finished job brought, read from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from . import glb
from .camera import PhotographCamera
from .png import read_mask
from .silhouette import Silhouette, draw, intersection_over_union


@dataclass(frozen=True)
class Result:
    """The mesh, the camera that took the photograph, and which of its pixels the whole object covers."""

    mesh: glb.TexturedMesh
    camera: PhotographCamera
    outline: Silhouette


def read(folder: Path) -> Result:
    """Raises UnoccludeError where a file is not as it should be, OSError where one is not there."""
    outline, width, height = read_mask((folder / "amodal_mask.png").read_bytes())
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return Result(
        glb.read((folder / "mesh.glb").read_bytes()),
        PhotographCamera.from_report(report, (width, height)),
        outline,
    )


def coverage(result: Result, camera: PhotographCamera) -> float:
    """The intersection over union of the mesh, seen by this camera, with the object in the photograph."""
    positions = result.mesh.positions
    places = camera.project(zip(positions[0::3], positions[1::3], positions[2::3], strict=True))
    return intersection_over_union(draw(places, result.mesh.corners, *camera.size), result.outline)
