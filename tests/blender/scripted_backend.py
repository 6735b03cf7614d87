"""What the backend runs in these tests instead of the models. The job's seed says how it goes."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image as Picture
from trimesh.visual.material import PBRMaterial
from unocclude import cameras
from unocclude.errors import InputError
from unocclude.pipeline.rasterise import rasterise
from unocclude.pipeline.types import Progress
from unocclude.protocol import STAGES, JobSpec, Prompt
from unocclude.server.segmenter import Ask
from unocclude.server.uploads import Uploads

QUICK, STEADY, ENDLESS, FAILING, LARGE = 0, 1, 2, 3, 4
STEPS = {STEADY: 8, ENDLESS: 3000, FAILING: 1, LARGE: 8}
"""In each of the four stages; 2 with any other seed."""
RADIUS = 5
"""Pixels around a point that belong to its mask."""
PAUSE = 0.1
"""Seconds for each step."""


def run_job(spec: JobSpec, uploads: Uploads, folder: Path, kept: Path, progress: Progress) -> None:
    """Leaves the pictures as they came, a box that is 0.2 wide, 0.4 deep and 0.8 high, and how a camera sees it."""
    image, mask, completion = uploads.image, uploads.mask, uploads.completion
    for name, file in (("received", image), ("received_mask", mask), ("received_completion", completion)):
        if file is not None:
            (folder / name).write_bytes(file)
    steps = STEPS.get(spec.seed, 2)
    for stage in STAGES[: STAGES.index(spec.to) + 1]:
        for step in range(steps):
            time.sleep(PAUSE)
            progress(stage, step + 1, steps, _disc(step / steps))
    if spec.seed == FAILING:
        raise InputError("There is nothing at the point.", "Click on the object.")
    width, height = Picture.open(io.BytesIO(image)).size
    photograph(folder, width, height, spec)
    seen = embed(image, spec.profile)(spec.prompt)[0] if mask is None else np.asarray(Picture.open(io.BytesIO(mask)))
    Picture.fromarray(((seen > 0) * 255).astype(np.uint8)).convert("L").save(folder / "visible_mask.png")
    if completion is not None:
        (folder / "completion_00.png").write_bytes(completion)
    for number in range(spec.samples if completion is None else 0):
        imagined = np.dstack([_disc((number + 1) / spec.samples), np.full((128, 128), 255, np.uint8)])
        Picture.fromarray(imagined).save(folder / f"completion_{number:02d}.png")
    if spec.to == "mesh":
        (folder / "views").mkdir()
        for number in range(16):
            Picture.fromarray(_disc((number + 1) / 16)).save(folder / "views" / f"{number:03d}.png")
        (ball() if spec.seed == LARGE else box()).export(folder / "mesh.glb")


def embed(image: bytes, profile: str) -> Ask:
    """The mask is a disc around each point that is no negative one, or the box."""
    width, height = Picture.open(io.BytesIO(image)).size
    y, x = np.mgrid[:height, :width]

    def ask(prompt: Prompt) -> tuple[np.ndarray, float]:
        mask = np.zeros((height, width), bool)
        for at_x, at_y in prompt.points:
            mask |= np.hypot(x - at_x, y - at_y) < RADIUS
        if prompt.box is not None:
            left, top, right, bottom = prompt.box
            mask |= (x >= left) & (x < right) & (y >= top) & (y < bottom)
        for at_x, at_y in prompt.negatives:
            mask &= np.hypot(x - at_x, y - at_y) >= RADIUS
        if not mask.any():
            raise InputError("There is nothing at the point.", "Click on the object.")
        return mask, 0.9

    return ask


def box() -> trimesh.Trimesh:
    """In glTF's axes: y up. Its vertices are split along the edges, as the texture stage splits them."""
    mesh = trimesh.creation.box(extents=(0.2, 0.8, 0.4))
    mesh.unmerge_vertices()
    uv = np.tile([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], (len(mesh.faces), 1))
    checks = (np.indices((64, 64)).sum(axis=0) // 8 % 2)[..., None] * np.uint8((200, 120, 40))
    material = PBRMaterial(baseColorTexture=Picture.fromarray(checks.astype(np.uint8)), roughnessFactor=0.7)
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return mesh


def ball() -> trimesh.Trimesh:
    """With about as many faces as a mesh of the best quality, 24,000, and a texture of 2048 pixels a side."""
    mesh = trimesh.creation.uv_sphere(radius=0.4, count=[110, 110])
    colours = np.indices((2048, 2048)).sum(axis=0)[..., None] // np.array([16, 24, 40]) % 256
    material = PBRMaterial(baseColorTexture=Picture.fromarray(colours.astype(np.uint8)), roughnessFactor=0.7)
    uv = 0.5 + mesh.vertices[:, :2]
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return mesh


def photograph(folder: Path, width: int, height: int, spec: JobSpec) -> None:
    """Tell of a camera that looks at the box beside the middle of the picture, and which pixels it covers there."""
    k = np.array([[1.2 * width, 0, 0.4 * width], [0, 1.2 * width, 0.55 * height], [0, 0, 1]])
    pose = cameras.world_to_camera(0, 25)
    turned = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # z up
    shape = box()
    drawn = rasterise(shape.vertices @ turned.T, shape.faces, pose, k, max(width, height)).face >= 0
    Picture.fromarray((drawn[:height, :width] * 255).astype(np.uint8)).save(folder / "amodal_mask.png")
    camera = {"intrinsics": k.tolist(), "world_to_camera": pose.tolist()}
    crop = {"left": 0, "top": 0, "side": max(width, height), "size": 256}
    report = {"camera": camera, "crop": crop, "scores": {"chosen": spec.choose or 0}}
    (folder / "report.json").write_text(json.dumps(report))


def _disc(fraction: float) -> np.ndarray:
    """A preview that grows."""
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    inside = np.hypot(x, y) < 0.2 + 0.7 * fraction
    return np.where(inside[..., None], np.uint8((230, 150, 60)), np.uint8((40, 40, 50))).astype(np.uint8)
