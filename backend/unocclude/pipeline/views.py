"""Sixteen views around the completed object."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unocclude.cameras import VIEW_COUNT
from unocclude.models.input_view import prepare
from unocclude.models.samplers import DPMSolver, gaussian
from unocclude.models.syncdreamer import SyncDreamer
from unocclude.pipeline.types import Completion, Image, Progress, ViewSet, no_progress

INPUT_SIZE = 200
"""Pixels of the object's longer side in the input view, of 256: SyncDreamer's own choice for pictures in the wild."""


@torch.inference_mode()
def generate_views(
    completion: Completion,
    elevation: float,
    model: SyncDreamer,
    *,
    steps: int,
    guidance: float,
    seed: int,
    progress: Progress = no_progress,
) -> ViewSet:
    """`elevation`: of the photograph's camera above the equator, degrees. View 0 has the photograph's azimuth."""
    device = next(model.parameters()).device
    picture = prepare(completion.rgba, INPUT_SIZE)[None].to(device)
    condition = model.encode_input(picture, torch.tensor([np.deg2rad(elevation)], dtype=torch.float32, device=device))

    def on_step(step: int, total: int, x0: Tensor) -> None:
        preview = _side_by_side(model.to_rgba(model.decode(x0[0, :: VIEW_COUNT // 4]))) if step % 4 == 0 else None
        progress("views", step, total, preview)

    latents = DPMSolver(model.schedule, steps).sample(
        lambda x, t: model.denoise(x, t, condition, guidance),
        (1, VIEW_COUNT, 4, 32, 32),
        gaussian(torch.Generator().manual_seed(seed), device),
        on_step,
    )
    return ViewSet(np.concatenate([model.to_rgba(model.decode(z[None])) for z in latents[0]]))


def _side_by_side(pictures: Image) -> Image:
    return np.concatenate(list(pictures), axis=1)
