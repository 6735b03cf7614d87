"""The official profile: weights from the folder, one large network at a time, and what is missing is named."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch
from official_layout import NETWORK, TINY, state_of
from unocclude.errors import ModelsMissingError
from unocclude.models import profiles
from unocclude.models.model_folder import sha256_of
from unocclude.models.pix2gestalt import Pix2Gestalt
from unocclude.models.profiles import Models

CPU = torch.device("cpu")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two checkpoints of the tiny network, which stands in for both large ones."""
    torch.manual_seed(0)
    state = state_of(Pix2Gestalt(TINY))
    for name in ("epoch=000005.ckpt", "syncdreamer-pretrain.ckpt"):
        torch.save({"state_dict": state}, tmp_path / name)
    monkeypatch.setattr(profiles, "PIX2GESTALT", NETWORK)
    monkeypatch.setattr(profiles, "SYNCDREAMER", NETWORK)
    return tmp_path


def test_one_large_network_is_resident_at_a_time(weights: Path) -> None:
    models = Models("official", CPU, weights)
    first = weakref.ref(models.completion())
    assert models.completion() is first()
    models.views()
    gc.collect()
    assert first() is None
    assert models.hashes()["epoch=000005.ckpt"] == sha256_of(weights / "epoch=000005.ckpt")
    assert len(list((weights / "converted").iterdir())) == 2


def test_what_is_missing_is_said_before_any_work(weights: Path) -> None:
    models = Models("official", CPU, weights)
    models.require(["complete", "views", "mesh"])
    with pytest.raises(ModelsMissingError, match=r"unocclude models download sam_vit_h_4b8939\.pth"):
        models.require(["segment", "complete"])
