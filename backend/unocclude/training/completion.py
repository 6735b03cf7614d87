"""Trains the bundled completion model: pix2gestalt's recipe on procedural whole-part pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unocclude.data.pairs import PairLibrary
from unocclude.models.autoencoder import Autoencoder
from unocclude.models.pix2gestalt import CompletionCondition, KnownChannels, Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.registry import BUNDLED
from unocclude.models.samplers import DPMSolver, gaussian
from unocclude.models.weights import load_bundled, save_bundled
from unocclude.training.latents import LatentBank, Tensors, encoded_shards, mirror
from unocclude.training.pictures import Picture, from_bytes, on_white, sheet, to_bytes, to_tensor
from unocclude.training.thumbnail_start import plain_encoder

VALIDATION = 48
HIGH_NOISE_SHARE = 0.5
ENCODED_AT_ONCE = 25
SHOWN = ("target", "condition", "picture")


class CompletionTask:
    """Denoises whole objects given the occluded picture. The autoencoder is frozen and its latents are precomputed. The
    classifier, which saw photographs, is frozen too: then its weights need not be stored once more.
    """

    merit = "iou"

    def __init__(self, pairs: Path, latents: Path, autoencoder: Autoencoder, batch: int) -> None:
        config = replace(Pix2GestaltConfig.bundled(), autoencoder=autoencoder.config)
        self.module = Pix2Gestalt(config)
        self.module.autoencoder.load_state_dict(autoencoder.state_dict())
        bundled = load_bundled(BUNDLED / "completion.safetensors", Pix2Gestalt)
        self._reader(self.module).classifier.load_state_dict(self._reader(bundled).classifier.state_dict())
        self._autoencoder = autoencoder.eval()
        sources = sorted(pairs.glob("pairs_*.safetensors"))
        self._bank = LatentBank(encoded_shards(sources, latents, self._encode)).tensors
        self._kept = len(self._bank["target"]) - VALIDATION
        self._batch = batch

    def draw(self, rng: np.random.Generator) -> Tensors:
        rows = torch.from_numpy(rng.integers(0, self._kept, self._batch))
        mirrored = torch.from_numpy(rng.random(self._batch) < 0.5)
        return {name: mirror(self._bank[name][rows], mirrored) for name in SHOWN}

    def loss(self, batch: Tensors, rng: np.random.Generator) -> Tensor:
        target = batch["target"].float()
        return self.module.training_loss(
            target,
            self._condition_latents(self.module, batch),
            from_bytes(batch["picture"]),
            torch.Generator(target.device).manual_seed(int(rng.integers(2**62))),
            high_noise_share=HIGH_NOISE_SHARE,
        )

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        """One sample each: the amodal mask's IoU, the visible mask's as the baseline, and PSNR of the whole object."""
        assert isinstance(averaged, Pix2Gestalt)
        held = {name: tensor[self._kept :].to(device) for name, tensor in self._bank.items()}
        condition = CompletionCondition(
            self._condition_latents(averaged, held), averaged.context(from_bytes(held["picture"]))
        )
        latents = DPMSolver(averaged.schedule, steps=4).sample(
            lambda x, t: averaged.guided(x, t, condition, 1.0),
            shape=tuple(held["target"].shape),
            noise=gaussian(torch.Generator().manual_seed(0), device),
        )
        imagined = np.concatenate([averaged.to_rgba(averaged.decode(z[None])) for z in latents])
        truth = np.concatenate([averaged.to_rgba(averaged.decode(z[None].float())) for z in held["target"]])
        seen = held["visible"].cpu().numpy() > 0
        whole = truth[..., 3] > 127
        error = ((on_white(imagined)[..., :3] / 255.0 - on_white(truth)[..., :3] / 255.0) ** 2).mean(axis=(1, 2, 3))
        pictures = held["picture"][..., ::2, ::2].cpu().numpy().transpose(0, 2, 3, 1)
        rows = [
            [pictures[k], 255 * seen[k, ::2, ::2].astype(np.uint8), imagined[k, ::2, ::2], truth[k, ::2, ::2]]
            for k in range(24)
        ]
        figures = {
            "iou": _iou((imagined[..., 3] > 127) | seen, whole),
            "iou_visible": _iou(seen, whole),
            "psnr": float(-10 * np.log10(error).mean()),
        }
        return figures, sheet([[p for row in rows[k : k + 3] for p in row] for k in range(0, 24, 3)])

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        save_bundled(averaged, path, card)

    @staticmethod
    def _reader(module: Pix2Gestalt) -> KnownChannels:
        assert module.known is not None
        return module.known

    def _condition_latents(self, module: Pix2Gestalt, batch: Tensors) -> Tensor:
        reader = self._reader(module)
        read = reader.read(reader.known(from_bytes(batch["picture"])))
        return torch.cat([batch["condition"].float(), read], dim=1)

    @torch.inference_mode()
    def _encode(self, path: Path) -> Tensors:
        autoencoder = self._autoencoder
        device, encode = next(autoencoder.parameters()).device, plain_encoder(autoencoder)
        library = PairLibrary([path])
        collected: dict[str, list[Tensor]] = {name: [] for name in (*SHOWN, "visible")}
        for first in range(0, len(library), ENCODED_AT_ONCE):
            pairs = [library[k] for k in range(first, first + ENCODED_AT_ONCE)]
            wholes, images, visible = (
                to_tensor(np.stack(pictures)).to(device)
                for pictures in (
                    [on_white(p.whole) for p in pairs],
                    [p.image for p in pairs],
                    [p.visible[..., None] for p in pairs],
                )
            )
            condition = torch.cat([encode(pictures) for pictures in (images, visible)], dim=1)
            collected["target"].append(autoencoder.standardise(encode(wholes)).half().cpu())
            collected["condition"].append(condition.half().cpu())
            collected["picture"].append(to_bytes(images))
            collected["visible"].append(torch.from_numpy(np.stack([p.visible for p in pairs])))
        return {name: torch.cat(parts) for name, parts in collected.items()}


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a & b).sum((1, 2)) / np.maximum((a | b).sum((1, 2)), 1)).mean())
