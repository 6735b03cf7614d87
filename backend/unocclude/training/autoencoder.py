"""Trains the decoder of the bundled autoencoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.data.pairs import PairLibrary
from unocclude.models.autoencoder import Autoencoder
from unocclude.models.weights import save_bundled
from unocclude.training.loop import Tensors
from unocclude.training.pictures import Picture, on_white, sheet, to_picture, to_tensor

VALIDATION = 24


class AutoencoderTask:
    """Trains the decoder on objects with alpha (L1, fine and coarse); the encoder stays block means.

    On whole pictures: group normalisation sees how much of one is background, so crops would teach the wrong thing.
    """

    merit = "psnr"

    def __init__(self, pairs: PairLibrary, start: Autoencoder, batch: int) -> None:
        self._pairs = pairs
        self._kept = len(pairs) - VALIDATION
        self._batch = batch
        self.module = start.requires_grad_(True)
        self.module.kl.encoder.requires_grad_(False)
        self.module.kl.quant_conv.requires_grad_(False)

    def draw(self, rng: np.random.Generator) -> Tensors:
        wholes = [on_white(self._pairs[int(rng.integers(self._kept))].whole) for _ in range(self._batch)]
        return {"pictures": torch.from_numpy(np.stack(wholes))}

    def loss(self, batch: Tensors, rng: np.random.Generator) -> Tensor:
        pictures = batch["pictures"].permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            latents = self.module.posterior(pictures).sample()
        decoded = self.module.kl.decode(latents).sample
        return F.l1_loss(decoded, pictures) + 0.5 * F.l1_loss(F.avg_pool2d(decoded, 8), F.avg_pool2d(pictures, 8))

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        assert isinstance(averaged, Autoencoder)
        pictures = np.stack([on_white(self._pairs[self._kept + k].whole) for k in range(VALIDATION)])
        inputs = to_tensor(pictures).to(device)
        decoded = torch.cat([averaged.kl.decode(averaged.posterior(x[None]).mode()).sample for x in inputs])
        error = ((decoded.clamp(-1, 1) - inputs)[:, :3] / 2).pow(2).mean(dim=(1, 2, 3))
        seen, truth = decoded[:, 3] > 0, inputs[:, 3] > 0
        iou = ((seen & truth).sum((1, 2)) / (seen | truth).sum((1, 2))).mean()
        shown = to_picture(decoded)
        rows = [[pictures[k][..., :3], shown[k][..., :3], shown[k][..., 3]] for k in range(8)]
        halves = [[p for row in rows[k : k + 2] for p in row] for k in range(0, 8, 2)]
        return {"psnr": float(-10 * error.log10().mean()), "alpha_iou": float(iou)}, sheet(halves)

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        """The latents' moments over object pictures go into the config, so that diffusion sees unit variance."""
        assert isinstance(averaged, Autoencoder)
        device = next(averaged.parameters()).device
        with torch.inference_mode():
            latents = torch.cat(
                [
                    averaged.posterior(to_tensor(on_white(self._pairs[k].whole))[None].to(device)).mode()
                    for k in range(min(self._kept, 256))
                ]
            )
        mean, std = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
        averaged.config = replace(averaged.config, latent_mean=tuple(mean.tolist()), latent_std=tuple(std.tolist()))
        save_bundled(averaged, path, card)
