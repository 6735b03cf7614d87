"""Trains the bundled view model: SyncDreamer's recipe on procedural objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unocclude.models.autoencoder import Autoencoder
from unocclude.models.hollow_guess import HollowGuess
from unocclude.models.samplers import DPMSolver, gaussian
from unocclude.models.syncdreamer import InputCondition, SyncDreamer, SyncDreamerConfig
from unocclude.models.view_guess import ViewGuess
from unocclude.models.weights import save_bundled
from unocclude.training.copy_start import start_as_copy
from unocclude.training.guess import seen_in
from unocclude.training.latents import Tensors
from unocclude.training.object_bank import ObjectBank
from unocclude.training.pictures import Picture, from_bytes
from unocclude.training.view_sheet import compare_views

VIEWS_PER_OBJECT = 3
VALIDATION = 24
HIGH_NOISE_SHARE = 0.9
"""Few steps are taken in sampling, a single one so far: nearly all is decided there."""


class ViewsTask:
    """Denoises the 16 views of an object given a free view. Autoencoder, guess and hollows are frozen."""

    merit = "psnr"

    def __init__(
        self, folder: Path, autoencoder: Autoencoder, guess: ViewGuess, hollows: HollowGuess, batch: int
    ) -> None:
        config = replace(
            SyncDreamerConfig.bundled(),
            autoencoder=autoencoder.config,
            guess=guess.config,
            hollows=hollows.config,
        )
        self.module = SyncDreamer(config)
        start_as_copy(self.module.unet.base, config.autoencoder)
        self.module.autoencoder.load_state_dict(autoencoder.state_dict())
        self._guess(self.module).load_state_dict(guess.state_dict())
        assert self.module.hollows is not None
        self.module.hollows.load_state_dict(hollows.state_dict())
        self._bank = ObjectBank(folder, autoencoder.eval())
        self._kept = len(self._bank) - VALIDATION
        self._batch = batch

    def draw(self, rng: np.random.Generator) -> Tensors:
        return self._bank.draw(rng, self._kept, self._batch)

    def loss(self, batch: Tensors, rng: np.random.Generator) -> Tensor:
        target = batch["target"].float()
        return self.module.training_loss(
            target,
            seen_in(batch, self._guess(self.module)),
            from_bytes(batch["picture"]),
            torch.Generator(target.device).manual_seed(int(rng.integers(2**62))),
            views_per_object=VIEWS_PER_OBJECT,
            high_noise_share=HIGH_NOISE_SHARE,
        )

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        """Of the sampled views, against the autoencoder's rendering of the true ones."""
        assert isinstance(averaged, SyncDreamer)
        held = {name: values.to(device) for name, values in self._bank.held_back(VALIDATION).items()}
        picture, seen = from_bytes(held["picture"]), seen_in(held, self._guess(averaged))
        condition = InputCondition(
            seen.latents, averaged.image_encoder(picture), seen.elevation, averaged.guess_views(seen)
        )
        target = held["target"].float()
        views = DPMSolver(averaged.schedule, steps=1).sample(
            lambda x, t: averaged.denoise(x, t, condition, 1.0),
            shape=tuple(target.shape),
            noise=gaussian(torch.Generator().manual_seed(0), device),
        )
        return compare_views(averaged.autoencoder, views, target, picture)

    @staticmethod
    def _guess(module: SyncDreamer) -> ViewGuess:
        assert module.guess is not None
        return module.guess

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        save_bundled(averaged, path, card)
