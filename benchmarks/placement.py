"""How well a mesh covers the object in the photograph once the add-on has placed it: the silhouettes' IoU per scene.

    python benchmarks/placement.py --data DIR [--preset fast]     the true views as input to the surface stage
    python benchmarks/placement.py --data DIR --jobs JOBS         finished jobs, in folders named OBJECT-SCENE

DIR is as for `unocclude evaluate completion`, with objects/NAME/targets.png. The mesh is laid over the true whole
object (with --jobs: over what the job imagined), the elevation is the estimate that a job makes, and the mesh is drawn
by the add-on's own code, through the camera that it makes for the photograph. That Blender's camera shows the same is
tested in tests/blender. `truth`: the true silhouette of the whole object. `imagined`: the one that the panel shows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image as PilImage
from unocclude.evaluation.scenes import scenes_in, truth_of
from unocclude.evaluation.surface import object_case
from unocclude.models.elevation import estimate_elevation
from unocclude.models.profiles import Models
from unocclude.pipeline.crop import crop_around
from unocclude.pipeline.front import front_view
from unocclude.pipeline.inputs import read_mask
from unocclude.pipeline.report import Report
from unocclude.pipeline.surface import fit_surface
from unocclude.pipeline.types import Completion, Mask, Surface
from unocclude.protocol import JobSpec, Preset

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from addon.core.camera import PhotographCamera  # noqa: E402
from addon.core.glb import read  # noqa: E402
from addon.core.silhouette import draw, intersection_over_union  # noqa: E402

CPU = torch.device("cpu")


class Row(NamedTuple):
    name: str
    truth: float
    imagined: float


def from_true_views(data: Path, preset: Preset) -> Iterator[Row]:
    """One surface for each object, laid over it in each of its scenes."""
    estimator = Models("bundled", CPU).weights("elevation").load()
    surfaces: dict[Path, tuple[Surface, float]] = {}
    for scene in scenes_in(data):
        folder = scene.parent
        if folder not in surfaces:
            elevation = estimate_elevation(estimator, np.asarray(PilImage.open(folder / "whole.png")))
            surfaces[folder] = fit_surface(object_case(folder).views, preset), elevation
        surface, elevation = surfaces[folder]
        truth = truth_of(scene)
        crop = crop_around(read_mask(scene / "visible_mask.png"))
        square = (crop.left, crop.top, crop.left + crop.side, crop.top + crop.side)
        whole = PilImage.fromarray(truth).convert("L").crop(square).resize((crop.size, crop.size))
        front = front_view(surface, Completion(np.dstack([np.asarray(whole)] * 4)), elevation)
        report = Report(JobSpec(), CPU)
        report.elevation(elevation, estimated=True)
        report.camera(front, crop)
        positions = surface.vertices.astype(float)
        covered = _covered(
            positions, surface.faces.ravel(), PhotographCamera.from_report(report.values, truth.shape[::-1])
        )
        yield Row(f"{folder.name}-{scene.name}", _iou(covered, truth), _iou(covered, truth))


def from_jobs(data: Path, jobs: Path) -> Iterator[Row]:
    """The meshes as the add-on gets them."""
    for scene in scenes_in(data):
        job = jobs / f"{scene.parent.name}-{scene.name}"
        if not (job / "mesh.glb").exists():
            continue
        mesh = read((job / "mesh.glb").read_bytes())
        truth = truth_of(scene)
        camera = PhotographCamera.from_report(json.loads((job / "report.json").read_text()), truth.shape[::-1])
        covered = _covered(np.array(mesh.positions).reshape(-1, 3), np.array(mesh.corners), camera)
        imagined = read_mask(job / "amodal_mask.png")
        yield Row(job.name, _iou(covered, truth), _iou(covered, imagined))


def _covered(positions: np.ndarray, corners: np.ndarray, camera: PhotographCamera) -> list[int]:
    """The add-on's silhouette of the placed mesh."""
    return draw(camera.project(positions.tolist()), corners.tolist(), *camera.size)


def _iou(covered: list[int], mask: Mask) -> float:
    rows = [int("".join("01"[pixel] for pixel in row[::-1].astype(int)), 2) for row in mask]
    return intersection_over_union(covered, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", choices=("fast", "balanced", "quality"), default="fast")
    parser.add_argument("--jobs", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'scene':<36}{'truth':>7}{'imagined':>10}")
    for row in from_jobs(options.data, options.jobs) if options.jobs else from_true_views(options.data, options.preset):
        rows.append(row)
        print(f"{row.name:<36}{row.truth:7.3f}{row.imagined:10.3f}", flush=True)
    if not rows:
        parser.error("there was nothing to place")
    for what, figure in (("median", statistics.median), ("worst", min)):
        print(f"{what:<36}{figure(row.truth for row in rows):7.3f}{figure(row.imagined for row in rows):10.3f}")


if __name__ == "__main__":
    main()
