"""Trains the bundled view model: SyncDreamer's recipe on procedural objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.cameras import VIEW_COUNT, VIEW_SIZE
from unocclude.data.library import OBJECTS_PER_SHARD, QUERY_VIEWS, ObjectLibrary
from unocclude.models.autoencoder import Autoencoder
from unocclude.models.input_view import prepare
from unocclude.models.samplers import DPMSolver, gaussian
from unocclude.models.syncdreamer import InputCondition, SyncDreamer, SyncDreamerConfig
from unocclude.models.weights import save_bundled
from unocclude.training.copy_start import start_as_copy
from unocclude.training.latents import LatentBank, Tensors, encoded_shards, mirror
from unocclude.training.pictures import Picture, on_white, sheet, to_picture, to_tensor

VIEWS_PER_OBJECT = 3
VALIDATION = 6
HIGH_NOISE_SHARE = 0.9
"""Few steps are taken in sampling, a single one so far: nearly all is decided there."""
INPUT_SIZE = 200
"""Pixels of the input object's longer side, of 256."""
CONTEXT_SIZE = 128


class ViewsTask:
    """Denoises the 16 views of an object given a free view. The autoencoder is frozen, latents are precomputed."""

    merit = "psnr"

    def __init__(self, library: Path, latents: Path, autoencoder: Autoencoder, batch: int) -> None:
        config = replace(SyncDreamerConfig.bundled(), autoencoder=autoencoder.config)
        self.module = SyncDreamer(config)
        start_as_copy(self.module.unet.base, config.autoencoder)
        self.module.autoencoder.load_state_dict(autoencoder.state_dict())
        self._autoencoder = autoencoder.eval()
        shards = sorted(library.glob("objects_*.safetensors"))
        self._bank = LatentBank(encoded_shards(shards, latents, lambda path: _encode(path, autoencoder))).tensors
        self._kept = len(self._bank["target"]) - VALIDATION
        self._batch = batch

    def draw(self, rng: np.random.Generator) -> Tensors:
        rows, queries = (torch.from_numpy(rng.integers(0, high, self._batch)) for high in (self._kept, QUERY_VIEWS))
        return self._examples(rows, queries, torch.from_numpy(rng.random(self._batch) < 0.5))

    def loss(self, batch: Tensors, rng: np.random.Generator) -> Tensor:
        target = batch["target"].float()
        return self.module.training_loss(
            target,
            batch["input"].float(),
            batch["picture"].float() / 127.5 - 1,
            batch["elevation"],
            torch.Generator(target.device).manual_seed(int(rng.integers(2**62))),
            views_per_object=VIEWS_PER_OBJECT,
            high_noise_share=HIGH_NOISE_SHARE,
        )

    def _examples(self, rows: Tensor, queries: Tensor, mirrored: Tensor) -> Tensors:
        """The views of objects (B,), turned so that view 0 has the azimuth of the query (B,).

        An object mirrored left to right, as the query sees it, is seen mirrored by view -k where it was seen by view k.
        """
        steps = self._bank["azimuth_step"][rows, queries]
        turn = torch.where(mirrored, -1, 1)[:, None] * torch.arange(VIEW_COUNT)
        found = {
            "target": self._bank["target"][rows[:, None], (turn + steps[:, None]) % VIEW_COUNT],
            "input": self._bank["input"][rows, queries],
            "picture": self._bank["picture"][rows, queries],
        }
        flipped = {name: mirror(values, mirrored) for name, values in found.items()}
        return flipped | {"elevation": self._bank["elevation"][rows, queries]}

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        """PSNR of the sampled views against the autoencoder's rendering of the true ones, on white."""
        assert isinstance(averaged, SyncDreamer)
        rows = torch.arange(self._kept, self._kept + VALIDATION)
        held = self._examples(rows, torch.zeros_like(rows), torch.zeros(VALIDATION, dtype=torch.bool))
        target, latents, picture = (held[name].float().to(device) for name in ("target", "input", "picture"))
        picture = picture / 127.5 - 1
        condition = InputCondition(latents, averaged.image_encoder(picture), held["elevation"].to(device))
        views = DPMSolver(averaged.schedule, steps=1).sample(
            lambda x, t: averaged.denoise(x, t, condition, 1.0),
            shape=tuple(target.shape),
            noise=gaussian(torch.Generator().manual_seed(0), device),
        )
        shown = slice(0, VIEW_COUNT, 4)
        made, true = (
            torch.cat([averaged.decode(z[None]) for z in batch[:, shown].flatten(0, 1)]) for batch in (views, target)
        )
        error = ((made - true).clamp(-2, 2)[:, :3] / 2).square().mean(dim=(1, 2, 3))
        sheets = [to_picture(F.avg_pool2d(x[:, :3], 2)) for x in (made, true)]
        inputs = to_picture(picture)
        rows_shown = [
            [inputs[k], *sheets[0][4 * k : 4 * k + 4], *sheets[1][4 * k : 4 * k + 4]] for k in range(VALIDATION)
        ]
        figures = {"psnr": float(-10 * error.log10().mean()), "latent_mse": float(F.mse_loss(views, target))}
        return figures, sheet(rows_shown)

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        """With the autoencoder given, whose decoder may have learned more since the checkpoint was begun."""
        assert isinstance(averaged, SyncDreamer)
        averaged.autoencoder.load_state_dict(self._autoencoder.state_dict())
        save_bundled(averaged, path, card)


@torch.inference_mode()
def _encode(path: Path, autoencoder: Autoencoder) -> Tensors:
    library = ObjectLibrary([path])
    device = next(autoencoder.parameters()).device
    rows: dict[str, list[Tensor]] = {n: [] for n in ("target", "input", "picture", "elevation", "azimuth_step")}
    for index in range(OBJECTS_PER_SHARD):
        targets = F.interpolate(to_tensor(on_white(library.targets(index))), VIEW_SIZE, mode="bilinear").to(device)
        rows["target"].append(torch.cat([autoencoder.encode(t[None]) for t in targets]).half().cpu())
        inputs = torch.stack([prepare(library.query(index, v), INPUT_SIZE) for v in range(QUERY_VIEWS)]).to(device)
        rows["input"].append(torch.cat([autoencoder.posterior(x[None]).mode() for x in inputs]).half().cpu())
        small = F.interpolate(inputs[:, :3], (CONTEXT_SIZE, CONTEXT_SIZE), mode="area")
        rows["picture"].append(torch.from_numpy(to_picture(small).transpose(0, 3, 1, 2).copy()))
        steps, elevations = zip(*(library.query_camera(index, v) for v in range(QUERY_VIEWS)), strict=True)
        rows["elevation"].append(torch.deg2rad(torch.tensor(elevations)))
        rows["azimuth_step"].append(torch.tensor(steps))
    return {name: torch.stack(values) for name, values in rows.items()}
