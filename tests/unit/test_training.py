"""The training loop resumes; the small autoencoder starts as block means; configurations are checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from unocclude.errors import InputError
from unocclude.models.autoencoder import Autoencoder, AutoencoderConfig
from unocclude.training.thumbnail_start import BACKGROUND, start_as_thumbnail

pytest.importorskip("matplotlib", reason="training needs the `train` extra")

from unocclude.training.loop import Schedule, train
from unocclude.training.run import read_config


class Line:
    """Learns y = 2 x."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module = nn.Linear(1, 1)
        self.exported: dict[str, Any] = {}

    def loss(self, rng: np.random.Generator, device: torch.device) -> Tensor:
        x = torch.from_numpy(rng.normal(size=(64, 1))).float()
        return F.mse_loss(self.module(x), 2 * x)

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], np.ndarray]:
        return {"slope": float(averaged(torch.ones(1, 1)) - averaged(torch.zeros(1, 1)))}, np.zeros((8, 8, 3), np.uint8)

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        self.exported = card


def test_training_learns_resumes_and_reports(tmp_path: Path) -> None:
    bundled, device = tmp_path / "line.safetensors", torch.device("cpu")
    first, second = Line(), Line()
    train(first, Schedule(minutes=0.02, rate=0.05, decay=0.9), tmp_path, bundled, device)
    train(second, Schedule(minutes=0.04, rate=0.05, decay=0.9), tmp_path, bundled, device)
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert second.exported["steps"] > first.exported["steps"] > 0
    assert history[-1]["step"] == second.exported["steps"]
    assert history[-1]["slope"] == pytest.approx(2, abs=0.1)
    assert (tmp_path / "loss.png").exists()
    assert list(tmp_path.glob("validation_*.png"))


def test_the_thumbnail_start_is_block_means_and_enlargement() -> None:
    autoencoder = Autoencoder(AutoencoderConfig.bundled())
    start_as_thumbnail(autoencoder)
    torch.manual_seed(0)
    coarse = torch.rand(1, 4, 4, 4) * 2 - 1
    pictures = F.interpolate(coarse, 64, mode="bilinear")
    with torch.inference_mode():
        latents = autoencoder.posterior(pictures).mode()
        decoded = autoencoder.kl.decode(latents).sample
    means = F.avg_pool2d(pictures, 8) - torch.tensor(BACKGROUND)[:, None, None]
    assert (latents - means).abs().max() < 5e-3
    assert (decoded - pictures)[..., 12:-12, 12:-12].abs().mean() < 0.15


def test_a_configuration_replaces_single_entries(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("objects = 12\n[minutes]\nviews = 3.0\n")
    config = read_config(own)
    assert config.objects == 12
    assert config.minutes["views"] == 3.0
    assert config.minutes["completion"] == read_config(None).minutes["completion"]
    own.write_text("objekts = 12\n")
    with pytest.raises(InputError, match="objekts"):
        read_config(own)
