"""The values that travel from stage to stage. Pictures are numpy arrays, RGB order, row 0 at the top."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unocclude.protocol import JobSpec, Prompt

__all__ = [
    "Completion",
    "Completions",
    "Crop",
    "FrontView",
    "Image",
    "JobResult",
    "JobSpec",
    "Mask",
    "Progress",
    "Prompt",
    "Surface",
    "TexturedMesh",
    "ViewSet",
    "no_progress",
]

Image = NDArray[np.uint8]
"""(H, W, 3) or (H, W, 4), straight alpha."""
Mask = NDArray[np.bool_]
"""(H, W)."""


class Progress(Protocol):
    """Called after each unit of work. It may raise `Cancelled`; stages let that pass."""

    def __call__(self, stage: str, step: int, total: int, preview: Image | None = None) -> None: ...


def no_progress(stage: str, step: int, total: int, preview: Image | None = None) -> None:
    """The `Progress` of callers who do not watch."""


@dataclass(frozen=True)
class Crop:
    """A square of the image, seen by the models at `size` x `size` pixels.

    `left`, `top`, `side` are whole image pixels; the square may reach beyond the image.
    """

    left: int
    top: int
    side: int
    size: int = 256


@dataclass(frozen=True)
class Completion:
    """The whole object as imagined, in the crop's frame: (size, size, 4) uint8 RGBA."""

    rgba: Image

    @property
    def mask(self) -> Mask:
        """The amodal mask in the crop's frame."""
        return self.rgba[..., 3] > 127


@dataclass(frozen=True)
class Completions:
    """Samples of the whole object, all in the crop's frame."""

    samples: list[Completion]
    crop: Crop


@dataclass(frozen=True)
class ViewSet:
    """16 views around the object: (16, 256, 256, 4) uint8 RGBA, cameras as in `cameras.target_cameras`.

    `hollow` (n, n, n) over (z, y, x), from -0.5 to 0.5: logits that a place within all outlines is hollow, told by who
    made the views; empty where nothing is told.
    """

    rgba: Image
    hollow: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))


@dataclass(frozen=True)
class FrontView:
    """The photograph's own look at the object: rgba (S, S, 4) at full resolution, hidden parts imagined.

    world_to_camera (3, 4) in SyncDreamer's frame; intrinsics (3, 3) of the picture of S pixels, centres at +0.5.
    """

    rgba: Image
    world_to_camera: NDArray[np.float64]
    intrinsics: NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """A closed triangle mesh in SyncDreamer's frame: z up, inside [-0.5, 0.5]^3, outward winding.

    vertices (V, 3) float32, faces (F, 3) int32.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]


@dataclass(frozen=True)
class TexturedMesh:
    """A surface with UVs. `uv` (V, 2) in [0, 1], v up (OpenGL); `texture` (T, T, 3) uint8, row 0 at v = 1."""

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32]
    texture: Image


@dataclass(frozen=True)
class JobResult:
    """A finished job's folder, and its report as in report.json."""

    folder: Path
    report: dict[str, Any]
