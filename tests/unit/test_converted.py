"""Conversion of checkpoints: once, whole or not at all, and nothing kept of what is hostile or damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from official_layout import NETWORK, TINY, state_of
from torch import Tensor
from unocclude.errors import ModelsMissingError
from unocclude.models import converted
from unocclude.models.converted import load_official
from unocclude.models.model_folder import sha256_of
from unocclude.models.pix2gestalt import Pix2Gestalt


@pytest.fixture(scope="module")
def original() -> Pix2Gestalt:
    torch.manual_seed(0)
    return Pix2Gestalt(TINY).eval()


@pytest.fixture
def checkpoint(original: Pix2Gestalt, tmp_path: Path) -> Path:
    path = tmp_path / "epoch=000005.ckpt"
    torch.save({"state_dict": state_of(original)}, path)
    return path


def load(path: Path, half: bool = False) -> Pix2Gestalt:
    return load_official(path, NETWORK, path.parent / "converted", half)[0]


def cached(path: Path) -> list[Path]:
    return list((path.parent / "converted").glob("*"))


def test_weights_come_back_with_the_checksum_of_their_source(original: Pix2Gestalt, checkpoint: Path) -> None:
    loaded, sha256 = load_official(checkpoint, NETWORK, checkpoint.parent / "converted", half=False)
    assert sha256 == sha256_of(checkpoint)
    for name, tensor in original.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    for name, buffer in original.named_buffers():
        assert torch.equal(loaded.get_buffer(name), buffer), name
    assert not loaded.training


def test_halves_except_where_they_would_harm(original: Pix2Gestalt, checkpoint: Path) -> None:
    loaded = load(checkpoint, half=True).state_dict()
    for name, tensor in original.state_dict().items():
        single = name.startswith("autoencoder.") or tensor.ndim < 2 or not tensor.is_floating_point()
        wanted = tensor if single else tensor.half()
        assert torch.equal(loaded[name], wanted), name
        assert loaded[name].dtype == wanted.dtype


def test_a_checkpoint_is_converted_once(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(checkpoint)
    monkeypatch.setattr(converted, "read_checkpoint", lambda path: pytest.fail("read again"))
    load(checkpoint)


def test_a_changed_checkpoint_replaces_what_was_converted(original: Pix2Gestalt, checkpoint: Path) -> None:
    load(checkpoint)
    state = state_of(original)
    state["cc_projection.bias"] = state["cc_projection.bias"] + 1
    torch.save({"state_dict": state, "epoch": 10}, checkpoint)
    loaded = load(checkpoint)
    assert torch.equal(loaded.projection.bias, original.projection.bias + 1)
    assert len(cached(checkpoint)) == 1


def test_a_damaged_conversion_is_made_again(original: Pix2Gestalt, checkpoint: Path) -> None:
    load(checkpoint)
    (path,) = cached(checkpoint)
    path.write_bytes(path.read_bytes()[:-10])
    assert torch.equal(load(checkpoint).projection.bias, original.projection.bias)


def test_an_interrupted_conversion_leaves_nothing(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(converted, "save_file", break_off)
    with pytest.raises(KeyboardInterrupt):
        load(checkpoint)
    assert cached(checkpoint) == []


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of the file ran",)


def spoiled(kind: str, state: dict[str, Tensor], path: Path) -> str:
    """Writes a bad checkpoint; returns what must be said about it."""
    content: dict[str, Any] = {"state_dict": state}
    key = "cc_projection.weight"
    match kind:
        case "hostile":
            content["callbacks"] = Hostile()
            said = "it asks for print"
        case "hostile where a tensor is due":
            content["state_dict"] = state | {key: Hostile()}
            said = "it asks for print"
        case "hostile and old":
            content["callbacks"] = Hostile()
            said = "it asks for print"
        case "truncated":
            said = "cannot be read: it is damaged"
        case "misshapen":
            content["state_dict"] = state | {key: state[key][:-1]}
            said = rf"1 misshapen: {key} \(15, 16\)"
        case "not finite":
            content["state_dict"] = state | {key: state[key] * torch.nan}
            said = f"{key} is not finite"
        case "no tensors":
            content["state_dict"] = state | {key: "weights"}
            said = f"other than weights: {key}"
    torch.save(content, path, _use_new_zipfile_serialization=kind != "hostile and old")
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    return said


BAD = [
    "hostile",
    "hostile where a tensor is due",
    "hostile and old",
    "truncated",
    "misshapen",
    "not finite",
    "no tensors",
]


@pytest.mark.parametrize("kind", BAD)
def test_bad_checkpoints_are_refused_and_leave_nothing(
    kind: str, original: Pix2Gestalt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "epoch=000005.ckpt"
    said = spoiled(kind, state_of(original), path)
    with pytest.raises(ModelsMissingError, match=said):
        load(path)
    assert "ran" not in capsys.readouterr().out
    assert cached(path) == []
