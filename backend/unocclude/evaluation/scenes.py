"""Scenes with known truth, what the bundled models imagine in them, and the simplest measures.

A folder of them holds objects/NAME/{whole.png, amodal_mask.png, ...} and objects/NAME/SCENE/{scene.png,
visible_mask.png, point.json}.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unocclude.errors import InputError
from unocclude.models.profiles import Models
from unocclude.pipeline.complete import complete
from unocclude.pipeline.inputs import read_mask
from unocclude.pipeline.types import Completion, Crop, Image, Mask

SAMPLES = 4


def scenes_in(data: Path) -> list[Path]:
    """Folders of all scenes, by name. Raises InputError where there are none."""
    scenes = sorted(p.parent for p in (data / "objects").glob("*/*/scene.png"))
    if not scenes:
        raise InputError(f"{data} has no objects/NAME/SCENE/scene.png.", "Name the folder that holds objects/.")
    return scenes


def truth_of(scene: Path) -> Mask:
    """(H, W): the true amodal mask; that of the object's own picture unless the scene has another."""
    own = scene / "amodal_mask.png"
    return read_mask(own if own.exists() else scene.parent / "amodal_mask.png")


def imagined(image: Image, visible: Mask, models: Models) -> tuple[list[Completion], Crop]:
    """SAMPLES completions as the profile makes them."""
    profile = models.profile
    made = complete(
        image,
        visible,
        None,
        models.completion(),
        samples=SAMPLES,
        steps=profile.completion_steps,
        guidance=profile.completion_guidance,
        seed=0,
        temperature=profile.completion_temperature,
    )
    return made.samples, made.crop


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def on_white(rgba: Image) -> np.ndarray:
    """(..., 3) in [0, 1] from (..., 4) uint8, straight alpha."""
    alpha = rgba[..., 3:] / 255.0
    return rgba[..., :3] / 255.0 * alpha + 1 - alpha
