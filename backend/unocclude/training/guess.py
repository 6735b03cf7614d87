"""Trains the view model's first guess: a volume whose renderings are the true views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.cameras import VIEW_COUNT
from unocclude.models.autoencoder import Autoencoder
from unocclude.models.view_guess import Seen, ViewGuess
from unocclude.models.weights import save_bundled
from unocclude.training.latents import Tensors
from unocclude.training.object_bank import ObjectBank
from unocclude.training.pictures import Picture, from_bytes
from unocclude.training.view_sheet import compare_views

VIEWS_PER_OBJECT = 3
VALIDATION = 24


class GuessTask:
    """Goes on with the guess given. Frozen are its classifier, which saw photographs and would forget them over drawn
    objects, and the autoencoder, whose latents are rendered.
    """

    merit = "psnr"

    def __init__(self, folder: Path, autoencoder: Autoencoder, guess: ViewGuess, batch: int) -> None:
        self.module = guess.requires_grad_(True)
        guess.classifier.requires_grad_(False)
        self._autoencoder = autoencoder.eval()
        self._bank = ObjectBank(folder, autoencoder)
        self._kept = len(self._bank) - VALIDATION
        self._batch = batch

    def draw(self, rng: np.random.Generator) -> Tensors:
        batch = self._bank.draw(rng, self._kept, self._batch)
        order = rng.random((self._batch, VIEW_COUNT)).argsort(axis=1)
        views = torch.from_numpy(order[:, :VIEWS_PER_OBJECT].copy())
        target = batch["target"][torch.arange(self._batch)[:, None], views]
        return {name: batch[name] for name in ("input", "picture", "elevation")} | {"target": target, "views": views}

    def loss(self, batch: Tensors, rng: np.random.Generator) -> Tensor:
        made = self._autoencoder.standardise(self.module(seen_in(batch, self.module), batch["views"]))
        return F.mse_loss(made, batch["target"].float())

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        assert isinstance(averaged, ViewGuess)
        held = {name: values.to(device) for name, values in self._bank.held_back(VALIDATION).items()}
        views = torch.arange(VIEW_COUNT, device=device).expand(VALIDATION, -1)
        made = self._autoencoder.standardise(averaged(seen_in(held, averaged), views))
        return compare_views(self._autoencoder, made, held["target"].float(), from_bytes(held["picture"]))

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        save_bundled(averaged, path, card)


def seen_in(batch: Tensors, guess: ViewGuess) -> Seen:
    """What the guess is given, from a batch of the bank."""
    return Seen(batch["input"].float(), guess.known(from_bytes(batch["picture"])), batch["elevation"])
