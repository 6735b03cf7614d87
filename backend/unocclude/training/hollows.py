"""Trains what tells where an object is hollow: by what the objects fill of what their views outline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.models.autoencoder import Autoencoder
from unocclude.models.hollow_guess import HollowGuess
from unocclude.models.view_guess import ViewGuess
from unocclude.models.weights import save_bundled
from unocclude.training.guess import seen_in
from unocclude.training.latents import Tensors
from unocclude.training.object_bank import ObjectBank
from unocclude.training.pictures import Picture, from_bytes, sheet, to_picture

VALIDATION = 96
SHOWN_OBJECTS = 12
SLICE_SIZE = 128


class HollowsTask:
    """Goes on with the network given. It sees the input view through the view guess's classifier, which is frozen:
    it learned from photographs, and would forget them over drawn objects.
    """

    merit = "-share_error"  # what is used of the logits is their sign

    def __init__(
        self, folder: Path, autoencoder: Autoencoder, guess: ViewGuess, hollows: HollowGuess, batch: int
    ) -> None:
        self.module = hollows.requires_grad_(True)
        self._guess = guess.requires_grad_(False).eval()
        self._bank = ObjectBank(folder, autoencoder)
        self._kept = len(self._bank) - VALIDATION
        self._batch = batch

    def draw(self, rng: np.random.Generator) -> Tensors:
        batch = self._bank.draw(rng, self._kept, self._batch)
        return {name: batch[name] for name in ("input", "picture", "elevation", "shape")}

    def loss(self, batch: Tensors, rng: np.random.Generator) -> Tensor:
        return _entropy(self.module(seen_in(batch, self._guess)), batch["shape"])

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        """The cross-entropy; by object, how well the share of its hull that is hollow is told, and a cut through it."""
        held = {name: values.to(device) for name, values in self._bank.held_back(VALIDATION).items()}
        logits = torch.cat([averaged(seen_in(part, self._guess)) for part in _one_by_one(held)])
        outlined, hollow = held["shape"].unbind(1)
        size = outlined.sum((1, 2, 3)).clamp(min=1)
        told, true = ((x & outlined).sum((1, 2, 3)) / size for x in (logits > 0, hollow))
        figures = {
            "entropy": float(_entropy(logits, held["shape"])),
            "share_error": float((told - true).abs().mean()),
        }
        middle = logits.shape[-1] // 2
        inputs = to_picture(F.avg_pool2d(from_bytes(held["picture"]), 2))
        return figures, sheet([
            [inputs[k], *(_slice(outlined[k, :, middle], x[k, :, middle]) for x in (logits > 0, hollow))]
            for k in range(min(len(inputs), SHOWN_OBJECTS))
        ])  # fmt: skip

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        save_bundled(averaged, path, card)


def _entropy(logits: Tensor, shape: Tensor) -> Tensor:
    """Mean cross-entropy of the logits (B, n, n, n) at the places within the outlines; shape (B, 2, n, n, n)."""
    outlined, hollow = shape.float().unbind(1)
    entropy = F.binary_cross_entropy_with_logits(logits.float(), hollow, weight=outlined, reduction="sum")
    return entropy / outlined.sum().clamp(min=1)


def _one_by_one(batch: Tensors) -> list[Tensors]:
    count = len(batch["input"])
    return [{name: values[k : k + 1] for name, values in batch.items()} for k in range(count)]


def _slice(outlined: Tensor, hollow: Tensor) -> Picture:
    """A cut through the middle, (n, n) over (z, x): grey what is filled, white what is hollow, dark what is beside."""
    shade = torch.where(outlined, torch.where(hollow, 255, 128), 40).flip(0).float()
    return F.interpolate(shade[None, None], SLICE_SIZE)[0, 0].byte().cpu().numpy()
