"""What the backend runs in these tests instead of the models. The job's seed says how it goes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image as Picture
from trimesh.visual.material import PBRMaterial
from unocclude.errors import InputError
from unocclude.pipeline.types import Progress
from unocclude.protocol import JobSpec

QUICK, STEADY, ENDLESS, FAILING = 0, 1, 2, 3
STEPS = {QUICK: 2, STEADY: 8, ENDLESS: 3000, FAILING: 1}
"""In each of the four stages."""
PAUSE = 0.1
"""Seconds for each step."""


def run_job(spec: JobSpec, image: bytes, mask: bytes | None, folder: Path, progress: Progress) -> None:
    """Leaves the picture as it came, and a box that is 0.2 wide, 0.4 deep and 0.8 high."""
    (folder / "received").write_bytes(image)
    for stage in ("segment", "complete", "views", "mesh"):
        for step in range(STEPS[spec.seed]):
            time.sleep(PAUSE)
            progress(stage, step + 1, STEPS[spec.seed], _disc(step / STEPS[spec.seed]))
    if spec.seed == FAILING:
        raise InputError("There is nothing at the point.", "Click on the object.")
    box().export(folder / "mesh.glb")


def box() -> trimesh.Trimesh:
    """In glTF's axes: y up. Its vertices are split along the edges, as the texture stage splits them."""
    mesh = trimesh.creation.box(extents=(0.2, 0.8, 0.4))
    mesh.unmerge_vertices()
    uv = np.tile([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], (len(mesh.faces), 1))
    checks = (np.indices((64, 64)).sum(axis=0) // 8 % 2)[..., None] * np.uint8((200, 120, 40))
    material = PBRMaterial(baseColorTexture=Picture.fromarray(checks.astype(np.uint8)), roughnessFactor=0.7)
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return mesh


def _disc(fraction: float) -> np.ndarray:
    """A preview that grows."""
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    inside = np.hypot(x, y) < 0.2 + 0.7 * fraction
    return np.where(inside[..., None], np.uint8((230, 150, 60)), np.uint8((40, 40, 50))).astype(np.uint8)
