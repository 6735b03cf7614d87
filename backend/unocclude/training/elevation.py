"""Trains the elevation estimator on views of procedural objects, whole and completed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from unocclude.data.inputs import input_shards, read_inputs
from unocclude.data.library import QUERY_VIEWS, ObjectLibrary
from unocclude.models.elevation import HIGHEST, LOWEST, ElevationConfig, ElevationEstimator, framed
from unocclude.models.weights import save_bundled
from unocclude.pipeline.types import Image as Picture
from unocclude.training.loop import Tensors

VALIDATION_SHARE = 0.05


class ElevationTask:
    """The `Task` of the training loop. The last objects in the folder are kept for validation."""

    merit = "-error"

    def __init__(self, folder: Path, batch: int) -> None:
        """`folder` has `objects` and `inputs`."""
        torch.manual_seed(0)
        self._batch = batch
        self.module = ElevationEstimator(ElevationConfig())
        library = ObjectLibrary.in_folder(folder / "objects")
        shards = tqdm(input_shards(folder / "inputs"), desc="views", unit="shard")
        pictures = [framed(view) for path in shards for views in read_inputs(path) for view in views]
        objects = len(pictures) // QUERY_VIEWS
        elevations = torch.tensor([library.query_camera(*view)[1] for view in np.ndindex(objects, QUERY_VIEWS)])
        kept = int(objects * (1 - VALIDATION_SHARE)) * QUERY_VIEWS
        self._pictures, self._elevations = torch.stack(pictures[:kept]), elevations[:kept]
        self._validation = torch.stack(pictures[kept:]), elevations[kept:]

    def draw(self, rng: np.random.Generator) -> Tensors:
        chosen = torch.from_numpy(rng.integers(0, len(self._pictures), self._batch))
        return {"pictures": _varied(rng, self._pictures[chosen]), "elevations": self._elevations[chosen]}

    def loss(self, batch: Tensors, rng: np.random.Generator) -> Tensor:
        """Huber loss in units of ten degrees."""
        return F.smooth_l1_loss(self.module(batch["pictures"]) / 10, batch["elevations"] / 10)

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        """Mean absolute error in degrees, that of always guessing the middle, and a plot of estimates against truth."""
        pictures, truth = self._validation
        estimates = torch.cat([averaged(part.to(device)).cpu() for part in pictures.split(256)])
        middle = self._elevations.median()
        figures = {"error": estimates - truth, "constant": middle - truth}
        means = {name: round(float(value.abs().mean()), 2) for name, value in figures.items()}
        return means, _scatter(truth, estimates)

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        save_bundled(averaged, path, card)


def _varied(rng: np.random.Generator, pictures: Tensor) -> Tensor:
    """Mirrored half the time; colours exchanged, and blurred or noisy as imagined pictures are."""
    if rng.random() < 0.5:
        pictures = pictures.flip(3)
    if rng.random() < 0.5:
        pictures = pictures[:, [*rng.permutation(3), 3]]
    if rng.random() < 0.3:
        pictures = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    grain = torch.from_numpy(rng.normal(0, rng.uniform(0, 0.1), pictures.shape).astype(np.float32))
    return pictures + grain


def _scatter(truth: Tensor, estimates: Tensor) -> Picture:
    """True degrees to the right, estimated ones upward, both from -10 to 45; the diagonal is grey."""
    size = 256
    plot = np.full((size, size, 3), 255, np.uint8)
    along = np.arange(size)
    plot[size - 1 - along, along] = 192
    across, up = (
        ((degrees - LOWEST) / (HIGHEST - LOWEST) * (size - 1)).clamp(0, size - 1).long().numpy()
        for degrees in (truth, estimates)
    )
    plot[size - 1 - up, across] = [200, 0, 0]
    return plot
