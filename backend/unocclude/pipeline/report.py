"""report.json: what was asked, what was done, how long it took and how sure to be of it."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import numpy as np
import torch

from unocclude import __version__, cameras
from unocclude.pipeline.types import Crop, FrontView
from unocclude.protocol import JobSpec

LIBRARIES = ("torch", "diffusers", "transformers", "segment-anything", "trimesh", "numpy")


class Report:
    """Collects the facts of one job while it runs."""

    def __init__(self, spec: JobSpec, device: torch.device) -> None:
        self._device = device
        self.warnings: list[str] = []
        self.scores: dict[str, Any] = {}
        self.values: dict[str, Any] = {
            **spec.to_json(),
            "device": str(device),
            "seconds": {},
            "scores": self.scores,
            "warnings": self.warnings,
            "versions": {"unocclude": __version__, "python": platform.python_version()}
            | {name: metadata.version(name) for name in LIBRARIES},
        }
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.values["seconds"][stage] = round(time.perf_counter() - start, 2)

    def crop(self, crop: Crop, completion_size: int) -> None:
        """How the completions' pixels lie in the image: image pixel = (left, top) + pixel * side / size."""
        self.values["crop"] = {"left": crop.left, "top": crop.top, "side": crop.side, "size": completion_size}

    def elevation(self, degrees: float, estimated: bool) -> None:
        """Of the photograph's camera, at azimuth 0."""
        self.values["camera"] = {
            "azimuth": 0.0,
            "elevation": round(degrees, 2),
            "elevation_estimated": estimated,
            "distance": cameras.DISTANCE,
        }

    def camera(self, front: FrontView, crop: Crop) -> None:
        """The whole camera: mesh frame (z up) to pixels of the image as given, centres at +0.5."""
        to_image = crop.side / len(front.rgba)
        intrinsics = np.array([[to_image, 0, crop.left], [0, to_image, crop.top], [0, 0, 1]]) @ front.intrinsics
        self.values["camera"]["intrinsics"] = np.round(intrinsics, 4).tolist()
        self.values["camera"]["world_to_camera"] = np.round(front.world_to_camera, 6).tolist()

    def finished(self, models: dict[str, str], reused: list[str]) -> dict[str, Any]:
        """`models`: sha256 of the weight files by name. `reused`: what was taken from an earlier job."""
        self.values["models"] = models
        self.values["reused"] = reused
        self.values["peak_memory_mb"] = {"ram": peak_ram_mb()}
        if self._device.type == "cuda":
            self.values["peak_memory_mb"]["gpu"] = round(torch.cuda.max_memory_allocated(self._device) / 2**20)
        return self.values


def peak_ram_mb() -> int | None:
    """Of this process so far. None on Windows, whose Python does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
