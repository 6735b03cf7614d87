"""Every tensor of the full-size official checkpoints is accounted for, and misfits are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from golden_files import Golden
from torch import Tensor
from unocclude.errors import ModelsMissingError
from unocclude.models import checkpoints
from unocclude.models.pix2gestalt import Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.syncdreamer import SyncDreamer, SyncDreamerConfig


def on_meta(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.fixture(scope="module")
def official_pix2gestalt() -> Pix2Gestalt:
    with torch.device("meta"):
        return Pix2Gestalt(Pix2GestaltConfig.official())


@pytest.fixture(scope="module")
def official_syncdreamer() -> SyncDreamer:
    with torch.device("meta"):
        return SyncDreamer(SyncDreamerConfig.official())


@pytest.fixture
def pix2gestalt_keys(pix2gestalt_golden: Golden) -> dict[str, Tensor]:
    return on_meta({key: shape[:-1] for key, shape in pix2gestalt_golden.json("keys_official")["keys"].items()})


@pytest.fixture
def syncdreamer_keys(syncdreamer_golden: Golden) -> dict[str, Tensor]:
    return on_meta({key: shape for key, (shape, _) in syncdreamer_golden.json("keys_official").items()})


def test_pix2gestalt_is_complete(official_pix2gestalt: Pix2Gestalt, pix2gestalt_keys: dict[str, Tensor]) -> None:
    checkpoints.load_pix2gestalt(official_pix2gestalt, pix2gestalt_keys)
    assert checkpoints.pix2gestalt_sources(official_pix2gestalt).keys() == official_pix2gestalt.state_dict().keys()


def test_syncdreamer_is_complete(official_syncdreamer: SyncDreamer, syncdreamer_keys: dict[str, Tensor]) -> None:
    checkpoints.load_syncdreamer(official_syncdreamer, syncdreamer_keys)
    assert checkpoints.syncdreamer_sources(official_syncdreamer).keys() == official_syncdreamer.state_dict().keys()


def test_moving_averages_are_found_by_their_mangled_names(
    official_pix2gestalt: Pix2Gestalt, pix2gestalt_golden: Golden
) -> None:
    sources = checkpoints.pix2gestalt_sources(official_pix2gestalt)
    used = {s.key for name, s in sources.items() if name.startswith("unet.")}
    listed: dict[str, Any] = pix2gestalt_golden.json("keys_official")["ema_map"]
    assert used == {key for pair in listed.items() for key in pair if key.startswith("model_ema.")}


def test_misfits_are_listed(official_pix2gestalt: Pix2Gestalt, pix2gestalt_keys: dict[str, Tensor]) -> None:
    state = pix2gestalt_keys
    gone = "first_stage_model.quant_conv.bias"
    del state[gone]
    state["cc_projection.bias"] = torch.empty(7, device="meta")
    state["model.surprise"] = torch.empty(1, device="meta")
    with pytest.raises(checkpoints.CheckpointMismatchError) as caught:
        checkpoints.load_pix2gestalt(official_pix2gestalt, state)
    assert caught.value.missing == [gone]
    assert caught.value.unexpected == ["model.surprise"]
    assert caught.value.misshapen == ["cc_projection.bias (7,)"]
    assert gone in str(caught.value)


def test_a_checkpoint_without_moving_averages_is_refused(
    official_pix2gestalt: Pix2Gestalt, pix2gestalt_keys: dict[str, Tensor]
) -> None:
    plain = {key: tensor for key, tensor in pix2gestalt_keys.items() if not key.startswith("model_ema.")}
    with pytest.raises(checkpoints.CheckpointMismatchError, match="686 missing"):
        checkpoints.load_pix2gestalt(official_pix2gestalt, plain)


def test_other_cameras_are_refused(
    official_syncdreamer: SyncDreamer, syncdreamer_keys: dict[str, Tensor], syncdreamer_golden: Golden
) -> None:
    poses = syncdreamer_golden.tensors("tiny_model")["poses"]
    checkpoints.load_syncdreamer(official_syncdreamer, syncdreamer_keys | {"poses": poses})
    with pytest.raises(checkpoints.CheckpointMismatchError, match="poses"):
        checkpoints.load_syncdreamer(official_syncdreamer, syncdreamer_keys | {"poses": poses.roll(1, 0)})


class ModelCheckpoint:
    """What Lightning leaves in a checkpoint as a key."""


ModelCheckpoint.__module__ = "pytorch_lightning.callbacks.model_checkpoint"


def test_lightning_checkpoints_open_without_running_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    parent, module = types.ModuleType("pytorch_lightning"), types.ModuleType(ModelCheckpoint.__module__)
    module.ModelCheckpoint = ModelCheckpoint  # type: ignore[attr-defined]
    callbacks = types.ModuleType("pytorch_lightning.callbacks")
    with monkeypatch.context() as patch:
        for stub in (parent, callbacks, module):
            patch.setitem(sys.modules, stub.__name__, stub)
        weight = torch.arange(3.0)
        torch.save({"state_dict": {"w": weight}, "callbacks": {ModelCheckpoint: {"best": 1}}}, tmp_path / "a.ckpt")
    assert torch.equal(checkpoints.read_checkpoint(tmp_path / "a.ckpt")["w"], weight)


def test_checkpoints_of_the_older_format_open_too(tmp_path: Path) -> None:
    weight = torch.arange(3.0)
    torch.save({"w": weight}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(checkpoints.read_checkpoint(tmp_path / "old.pth")["w"], weight)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of the file ran",)


def test_checkpoints_with_code_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {}, "extra": Hostile()}, tmp_path / "bad.ckpt")
    with pytest.raises(ModelsMissingError, match=r"bad\.ckpt cannot be read"):
        checkpoints.read_checkpoint(tmp_path / "bad.ckpt")
    assert "ran" not in capsys.readouterr().out


def test_truncated_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.ckpt"
    torch.save({"state_dict": {"w": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ModelsMissingError, match=r"short\.ckpt cannot be read"):
        checkpoints.read_checkpoint(path)
