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

VIEWS_PER_OBJECT = 4
VALIDATION = 24
SURFACE_WEIGHT = 0.05
"""Of where rays end, beside the latents' squared error."""
LEAST_LIGHT = 1e-3
"""What is counted as if it ended at the surface, so that a hopeless ray does not outweigh all others."""


class GuessTask:
    """Goes on with the guess given; its classifier, which saw photographs, learns along. The autoencoder, whose latents
    are rendered, is frozen.
    """

    merit = "psnr"

    def __init__(self, library: Path, latents: Path, autoencoder: Autoencoder, guess: ViewGuess, batch: int) -> None:
        self.module = guess.requires_grad_(True)
        guess.classifier.free_deep_part()
        self._autoencoder = autoencoder.eval()
        self._bank = ObjectBank(library, latents, autoencoder)
        self._kept = len(self._bank) - VALIDATION
        self._batch = batch

    def draw(self, rng: np.random.Generator) -> Tensors:
        batch = self._bank.draw(rng, self._kept, self._batch)
        order = rng.random((self._batch, VIEW_COUNT)).argsort(axis=1)
        views = torch.from_numpy(order[:, :VIEWS_PER_OBJECT].copy())
        rows = torch.arange(self._batch)[:, None]
        chosen = {name: batch[name][rows, views] for name in ("target", "depth")} | {"views": views}
        return {name: batch[name] for name in ("input", "picture", "elevation")} | chosen

    def loss(self, batch: Tensors, rng: np.random.Generator) -> Tensor:
        made, ends = self.module(seen_in(batch, self.module), batch["views"])
        views_loss = F.mse_loss(self._autoencoder.standardise(made.float()), batch["target"].float())
        return views_loss + SURFACE_WEIGHT * surface_loss(ends.float(), batch["depth"].float(), self.module)

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        assert isinstance(averaged, ViewGuess)
        held = {name: values.to(device) for name, values in self._bank.held_back(VALIDATION).items()}
        views = torch.arange(VIEW_COUNT, device=device).expand(VALIDATION, -1)
        made, ends = averaged(seen_in(held, averaged), views)
        figures, sheet = compare_views(
            self._autoencoder, self._autoencoder.standardise(made), held["target"].float(), from_bytes(held["picture"])
        )
        return figures | {"surface": float(surface_loss(ends, held["depth"].float(), averaged))}, sheet

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        save_bundled(averaged, path, card)


def surface_loss(ends: Tensor, depth: Tensor, guess: ViewGuess) -> Tensor:
    """How unlikely the guess holds the true surface: the mean negative logarithm of the light that ends there.

    ends (B, K, samples, 32, 32), depth (B, K, 32, 32) camera z, 0 beside the object. As in depth-supervised NeRF (Deng
    et al., arXiv 2107.02791): pictures alone are explained as well by a fog, in which a mug is as full as a can.
    """
    along = guess.sample_depths[:, None, None]
    width = along[1] - along[0]
    near = (-0.5 * ((along - depth.unsqueeze(2)) / width).square()).exp()
    unlikely = -((ends * near).sum(dim=2) + LEAST_LIGHT).log()
    there = (depth > 0).float()
    return (unlikely * there).sum() / there.sum().clamp(min=1)


def seen_in(batch: Tensors, guess: ViewGuess) -> Seen:
    """What the guess is given, from a batch of the bank."""
    return Seen(batch["input"].float(), guess.known(from_bytes(batch["picture"])), batch["elevation"])
