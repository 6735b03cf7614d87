"""The training loop resumes; the small autoencoder starts as block means; configurations are checked."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from unocclude.cli import TRAINABLE
from unocclude.errors import InputError
from unocclude.models.autoencoder import Autoencoder, AutoencoderConfig
from unocclude.models.weights import load_bundled, read_card, save_bundled
from unocclude.training.thumbnail_start import BACKGROUND, plain_encoder, start_as_thumbnail

pytest.importorskip("matplotlib", reason="training needs the `train` extra")

from unocclude.training import loop
from unocclude.training.loop import Schedule, _loader, train
from unocclude.training.run import STEPS, read_config


@dataclass(frozen=True)
class SlopeConfig:
    start: float


class Slope(nn.Module):
    """y = weight * x."""

    def __init__(self, config: SlopeConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.tensor([config.start]))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Line:
    """Learns the slope of y = `slope` x; validated against a slope of 2."""

    merit = "-error"

    def __init__(self, slope: float = 2.0) -> None:
        self.module: Slope = Slope(SlopeConfig(0.0))
        self._slope = slope

    def draw(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return {"x": torch.from_numpy(rng.normal(size=(64, 1))).float()}

    def loss(self, batch: dict[str, Tensor], rng: np.random.Generator) -> Tensor:
        return F.mse_loss(self.module(batch["x"]), self._slope * batch["x"])

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], np.ndarray]:
        assert isinstance(averaged, Slope)
        return {"error": abs(float(averaged.weight) - 2)}, np.zeros((8, 8, 3), np.uint8)

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        save_bundled(averaged, path, card)


@pytest.fixture
def even_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock finds five milliseconds gone, however busy the machine is."""
    ticks = itertools.count()
    monkeypatch.setattr(loop.time, "monotonic", lambda: 0.005 * next(ticks))


@pytest.mark.usefixtures("even_clock")
def test_training_learns_resumes_and_reports(tmp_path: Path) -> None:
    bundled, device = tmp_path / "line.safetensors", torch.device("cpu")
    train(Line(), Schedule(minutes=0.02, rate=0.05, decay=0.9), tmp_path, bundled, device)
    first = read_card(bundled)["steps"]
    train(Line(), Schedule(minutes=0.04, rate=0.05, decay=0.9), tmp_path, bundled, device)
    second = read_card(bundled)["steps"]
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert second > first > 0
    assert history[-1]["step"] == second
    assert history[-1]["error"] < 0.1
    assert (tmp_path / "loss.png").exists()
    assert list(tmp_path.glob("validation_*.png"))


@pytest.mark.usefixtures("even_clock")
def test_a_new_folder_begins_with_the_bundled_weights(tmp_path: Path) -> None:
    bundled = tmp_path / "line.safetensors"
    save_bundled(Slope(SlopeConfig(1.5)), bundled, {})
    still = Schedule(minutes=0.01, rate=0.0, weight_decay=0.0)
    train(Line(), still, tmp_path / "new", bundled, torch.device("cpu"))
    assert float(load_bundled(bundled, Slope).weight) == 1.5
    assert read_card(bundled)["steps"] > 0


@pytest.mark.usefixtures("even_clock")
def test_weights_that_validate_worse_do_not_replace_the_bundled_ones(tmp_path: Path) -> None:
    bundled = tmp_path / "line.safetensors"
    save_bundled(Slope(SlopeConfig(1.9)), bundled, {"steps": 0})
    astray = Schedule(minutes=0.02, rate=0.05, decay=0.5)
    train(Line(slope=-3.0), astray, tmp_path / "new", bundled, torch.device("cpu"))
    assert float(load_bundled(bundled, Slope).weight) == pytest.approx(1.9, abs=1e-3)
    assert read_card(bundled)["steps"] == 0


@pytest.mark.usefixtures("even_clock")
def test_a_mean_that_validates_better_than_what_was_there_and_what_was_trained_is_kept(tmp_path: Path) -> None:
    bundled = tmp_path / "line.safetensors"
    save_bundled(Slope(SlopeConfig(1.0)), bundled, {})
    beyond = Schedule(minutes=0.05, rate=0.05, decay=0.5)
    train(Line(slope=3.0), beyond, tmp_path / "new", bundled, torch.device("cpu"))
    assert float(load_bundled(bundled, Slope).weight) == pytest.approx(2.0, abs=0.1)
    assert read_card(bundled)["weights"] == "mean of before and trained"


class Offset(Slope):
    """y = weight * x + a given constant."""

    def __init__(self, config: SlopeConfig) -> None:
        super().__init__(config)
        self.given = nn.Parameter(torch.zeros(1), requires_grad=False)


@pytest.mark.usefixtures("even_clock")
def test_what_is_frozen_stays_as_the_task_gives_it(tmp_path: Path) -> None:
    """The bundled weights to begin with, then the checkpoint to resume, hold an older frozen part than the task."""
    bundled, task = tmp_path / "line.safetensors", Line()
    save_bundled(Offset(SlopeConfig(1.5)), bundled, {})
    for given, minutes in ((1.0, 0.01), (2.0, 0.02)):
        task.module = Offset(SlopeConfig(0.0))
        task.module.given.data.fill_(given)
        still = Schedule(minutes=minutes, rate=0.0, weight_decay=0.0)
        train(task, still, tmp_path / "run", bundled, torch.device("cpu"))
        exported = load_bundled(bundled, Offset)
        assert float(exported.given) == given
        assert float(exported.weight) == 1.5


def test_batches_are_the_same_whoever_draws_them() -> None:
    drawn = [
        next(iter(_loader(Line(), Schedule(minutes=1, workers=workers), 7, pinned=False)))["x"] for workers in (0, 1)
    ]
    assert torch.equal(*drawn)


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


def test_an_encoder_as_started_is_not_run_and_any_other_is() -> None:
    autoencoder = Autoencoder(AutoencoderConfig.bundled())
    start_as_thumbnail(autoencoder)
    torch.manual_seed(0)
    pictures, mask = torch.rand(2, 4, 64, 64) * 2 - 1, torch.ones(1, 1, 64, 64)

    def both(given: Tensor) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            return plain_encoder(autoencoder)(given), autoencoder.posterior(given).mode()

    for given in (pictures, pictures[:, :3], mask):
        means, encoded = both(given)
        assert 0 < (means - encoded).abs().max() < 5e-3
    with torch.no_grad():
        autoencoder.kl.quant_conv.weight.mul_(1.1)
    assert torch.equal(*both(pictures))


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


def test_the_command_line_offers_every_step() -> None:
    """It has its own list, since reading the steps' would load torch."""
    assert (*STEPS, "all") == TRAINABLE
