"""Trains the bundled autoencoder: object pictures with alpha, whole scenes and masks, on crops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.data.library import QUERY_VIEWS, ObjectLibrary
from unocclude.data.scenes import SceneMaker
from unocclude.models.autoencoder import Autoencoder, AutoencoderConfig
from unocclude.training.pictures import Picture, on_white, sheet, to_picture, to_tensor

CROP = 128
OBJECTS, SCENE_CROPS, MASKS = 9, 5, 2
"""Crops of each kind in a batch."""
KL_WEIGHT = 5e-4
VALIDATION = 24


class AutoencoderTask:
    """Reconstruction (L1, fine and coarse) plus a faint KL term. Crops suffice: the network is convolutional."""

    def __init__(self, library: ObjectLibrary, scenes: SceneMaker, config: AutoencoderConfig) -> None:
        self._library = library
        self._scenes = scenes
        self._kept = len(library) - VALIDATION
        self.module = Autoencoder(config)

    def loss(self, rng: np.random.Generator, device: torch.device) -> Tensor:
        pictures = to_tensor(np.stack(self._batch(rng))).to(device)
        posterior = self.module.posterior(pictures)
        decoded = self.module.kl.decode(posterior.sample()).sample
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        coarse = F.l1_loss(F.avg_pool2d(decoded, 8), F.avg_pool2d(pictures, 8))
        return F.l1_loss(decoded, pictures) + 0.5 * coarse + KL_WEIGHT * kl

    def _batch(self, rng: np.random.Generator) -> list[Picture]:
        objects = [
            on_white(self._library.query(int(rng.integers(self._kept)), int(rng.integers(QUERY_VIEWS))))
            for _ in range(OBJECTS)
        ]
        scene = self._scenes.draw(rng)
        opaque = np.dstack([scene.image, np.full(scene.image.shape[:2], 255, np.uint8)])
        mask = np.repeat(255 * scene.visible[..., None].astype(np.uint8), 4, -1)
        return [_crop(p, rng) for p in objects + [opaque] * SCENE_CROPS + [mask] * MASKS]

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        assert isinstance(averaged, Autoencoder)
        pictures = np.stack([on_white(self._library.query(self._kept + k, 0)) for k in range(VALIDATION)])
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
        from unocclude.models.weights import save_bundled

        assert isinstance(averaged, Autoencoder)
        device = next(averaged.parameters()).device
        with torch.inference_mode():
            latents = torch.cat(
                [
                    averaged.posterior(to_tensor(on_white(self._library.query(k, 0)))[None].to(device)).mode()
                    for k in range(min(self._kept, 256))
                ]
            )
        mean, std = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
        averaged.config = replace(
            averaged.config, latent_mean=tuple(mean.tolist()), latent_std=tuple(std.tolist())
        )
        save_bundled(averaged, path, card)


def _crop(picture: Picture, rng: np.random.Generator) -> Picture:
    y, x = rng.integers(0, picture.shape[0] - CROP + 1), rng.integers(0, picture.shape[1] - CROP + 1)
    return picture[y : y + CROP, x : x + CROP]
