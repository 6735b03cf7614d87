"""Sixteen views around the completed object."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unocclude.cameras import VIEW_COUNT
from unocclude.models.input_view import prepare
from unocclude.models.memory import Passes, inference
from unocclude.models.samplers import DDIM, DPMSolver, gaussian
from unocclude.models.syncdreamer import SyncDreamer
from unocclude.pipeline.types import Completion, Image, Progress, ViewSet, no_progress
from unocclude.protocol import SamplerName

VIEWS_AT_ONCE = 4
INPUT_SIZE = 200
"""Pixels of the object's longer side in the input view, of 256: SyncDreamer's own choice for pictures in the wild."""


def generate_views(
    completion: Completion,
    elevation: float,
    model: SyncDreamer,
    *,
    steps: int,
    guidance: float,
    seed: int,
    sampler: SamplerName = "fast",
    passes: Passes | None = None,
    progress: Progress = no_progress,
) -> ViewSet:
    """`elevation`: of the photograph's camera above the equator, degrees. View 0 has the photograph's azimuth.

    `passes`: how many views are denoised at once. The reference sampler also draws the input's latents, where the fast
    one takes their mean.
    """
    device = model.projection.weight.device
    generator = torch.Generator().manual_seed(seed)
    picture = prepare(completion.rgba, INPUT_SIZE)[None].to(device)
    radians = torch.tensor([np.deg2rad(elevation)], dtype=torch.float32, device=device)
    reference = sampler == "reference"
    steps_of = DDIM.syncdreamer if reference else DPMSolver
    passes = passes or Passes(VIEWS_AT_ONCE)

    def on_step(step: int, total: int, x0: Tensor) -> None:
        preview = _side_by_side(model.to_rgba(model.decode(x0[0, :: VIEW_COUNT // 4]))) if step % 4 == 0 else None
        progress("views", step, total, preview)

    with inference(model):
        condition = model.encode_input(picture, radians, generator if reference else None)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            return passes.run(lambda at_once: model.denoise(x, t, condition, guidance, at_once)).float()

        latents = steps_of(model.schedule, steps).sample(
            denoise, (1, VIEW_COUNT, 4, 32, 32), gaussian(generator, device), on_step
        )
        rgba = np.concatenate([model.to_rgba(model.decode(z[None])) for z in latents[0]])
        return ViewSet(rgba) if condition.hollow is None else ViewSet(rgba, condition.hollow[0].float().cpu().numpy())


def _side_by_side(pictures: Image) -> Image:
    return np.concatenate(list(pictures), axis=1)
