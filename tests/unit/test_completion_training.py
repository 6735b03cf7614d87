"""The completion's training sees what the completion sees when it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

pytest.importorskip("matplotlib", reason="training needs the `train` extra")

from unocclude.data import pairs
from unocclude.models.autoencoder import Autoencoder
from unocclude.models.pix2gestalt import Pix2Gestalt
from unocclude.models.registry import BUNDLED
from unocclude.models.weights import load_bundled
from unocclude.training import completion
from unocclude.training.completion import CompletionTask
from unocclude.training.pictures import to_tensor

ROWS = 6


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One small shard of pairs: smooth pictures, a disc as the object, its left half in sight."""
    monkeypatch.setattr(pairs, "PAIRS_PER_SHARD", ROWS)
    monkeypatch.setattr(completion, "VALIDATION", 2)
    monkeypatch.setattr(completion, "ENCODED_AT_ONCE", 3)
    rng = np.random.default_rng(0)
    size = pairs.SIZE
    y, x = np.mgrid[:size, :size]
    disc = np.hypot(x - size / 2, y - size / 2) < size / 4
    image = np.kron(rng.integers(0, 256, (ROWS, 8, 8, 3)), np.ones((1, size // 8, size // 8, 1))).astype(np.uint8)
    visible = np.repeat(255 * (disc & (x < size / 2)).astype(np.uint8)[None], ROWS, 0)
    whole = np.concatenate([image, np.repeat(255 * disc.astype(np.uint8)[None, ..., None], ROWS, 0)], -1)
    save_file({"image": image, "visible": visible, "whole": whole}, tmp_path / "pairs_0000.safetensors")
    return tmp_path


def test_stored_conditions_are_those_of_use(folder: Path) -> None:
    autoencoder: Autoencoder = load_bundled(BUNDLED / "completion.safetensors", Pix2Gestalt).autoencoder
    task = CompletionTask(folder, folder / "latents", autoencoder, batch=2)
    library = pairs.PairLibrary.in_folder(folder)
    pair = library[3]
    stored = {name: tensor[3:4] for name, tensor in task._bank.items()}
    with torch.inference_mode():
        expected = task.module.eval().encode_condition(
            to_tensor(pair.image[None]), to_tensor(pair.visible[None, ..., None])
        )
        trained = task._condition_latents(task.module, stored)
    assert trained.shape == expected.latents.shape
    assert (trained - expected.latents).abs().max() < 0.02, "half precision, and no more"
    rng = np.random.default_rng(1)
    loss = task.loss(task.draw(rng), rng)
    loss.backward()
    assert torch.isfinite(loss)
    assert task.module.known is not None
    assert all(value.grad is None for value in task.module.known.classifier.parameters())
    task.export(task.module, folder / "completion.safetensors", {})
    bundled = BUNDLED / "completion.safetensors"
    assert (folder / "completion.safetensors").stat().st_size < 1.01 * bundled.stat().st_size, "no second classifier"
