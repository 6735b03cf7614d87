"""TorchScript archives give up their weights, and their code stays asleep."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from unocclude.errors import ModelsMissingError
from unocclude.models.checkpoints import read_checkpoint


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("table", torch.arange(6).reshape(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.table.sum()


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(Inner(), Inner())
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.narrow = nn.Parameter(torch.randn(4, 5).half().T)
        self.shapes = [1, 2]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x) * self.scale


@pytest.fixture
def archive(tmp_path: Path) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    module, path = Outer(), tmp_path / "ViT-L-14.pt"
    torch.jit.save(torch.jit.script(module), path)
    return module, path


def rewritten(path: Path, description: bytes) -> None:
    """The archive with another data.pkl."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, description if name.endswith("/data.pkl") else content)


def test_all_weights_are_found(archive: tuple[nn.Module, Path]) -> None:
    module, path = archive
    found, wanted = read_checkpoint(path), module.state_dict()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of the file ran",)


def test_code_is_refused(archive: tuple[nn.Module, Path], capsys: pytest.CaptureFixture[str]) -> None:
    rewritten(archive[1], pickle.dumps(Hostile()))
    with pytest.raises(ModelsMissingError, match=r"it asks for builtins\.print"):
        read_checkpoint(archive[1])
    assert "ran" not in capsys.readouterr().out


class BeyondStorage(pickle.Pickler):
    """A tensor that claims more numbers than were stored."""

    def persistent_id(self, value: object) -> object:
        return ("storage", torch.FloatStorage, "0", "cpu", 1) if isinstance(value, Tensor) else None

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, Inner):
            return torch._utils._rebuild_tensor_v2, (torch.zeros(1), 0, (10**6,), (1,), False, {})
        return NotImplemented


def test_tensors_beyond_their_storage_are_refused(archive: tuple[nn.Module, Path]) -> None:
    stream = io.BytesIO()
    BeyondStorage(stream).dump(Inner())
    rewritten(archive[1], stream.getvalue())
    with pytest.raises(ModelsMissingError, match="cannot be read"):
        read_checkpoint(archive[1])


def test_truncated_archives_are_refused(archive: tuple[nn.Module, Path]) -> None:
    archive[1].write_bytes(archive[1].read_bytes()[:-200])
    with pytest.raises(ModelsMissingError, match="cannot be read"):
        read_checkpoint(archive[1])


@pytest.mark.parametrize("kind", ["weights", "torchscript"])
def test_archives_that_unpack_to_far_more_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("bomb/data.pkl", bytes(20_000_000))
        if kind == "torchscript":
            bomb.writestr("bomb/constants.pkl", b"")
    with pytest.raises(ModelsMissingError, match="far more than weights"):
        read_checkpoint(path)
