"""Official checkpoints, converted once to safetensors under our own names and from then on loaded by memory map."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unocclude.models.checkpoints import StateDict, read_checkpoint
from unocclude.models.model_folder import sha256_of

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class OfficialNetwork(Generic[Network]):
    """`build` gives the network at its official size, `fill` its weights from the authors' checkpoint.

    `fill` raises CheckpointMismatchError. `single`: beginnings of the names of weights that half precision would harm.
    """

    build: Callable[[], Network]
    fill: Callable[[Network, StateDict], None]
    single: tuple[str, ...] = ()


def load_official(path: Path, network: OfficialNetwork[Network], cache: Path, half: bool) -> tuple[Network, str]:
    """The network in evaluation mode on the CPU, and the checkpoint's sha256.

    `half`: store and load float16 instead of float32, except for biases and the like, which are small. The first call
    converts, which takes minutes and as much memory as the checkpoint is large; what it writes to the folder `cache`
    appears there whole or not at all. Raises ModelsMissingError for what `read_checkpoint` and `fill` refuse.
    """
    converted = cache / _name(path, half)
    try:
        return _load(converted, network)
    except (OSError, SafetensorError, RuntimeError):  # not there, damaged, or of another version
        _convert(path, network, converted, half)
    return _load(converted, network)


def _name(path: Path, half: bool) -> str:
    """Another file of the same name has another length or time."""
    stat = path.stat()
    return f"{path.stem}-{stat.st_size:x}-{stat.st_mtime_ns:x}-{'half' if half else 'single'}.safetensors"


def _load(converted: Path, network: OfficialNetwork[Network]) -> tuple[Network, str]:
    tensors = load_file(converted)
    with safe_open(converted, "pt") as file:
        sha256 = file.metadata()["sha256"]
    with parameters_without_memory():
        module = network.build()
    module.load_state_dict(tensors, assign=True)
    return module.requires_grad_(False).eval(), sha256


def _convert(path: Path, network: OfficialNetwork[Network], converted: Path, half: bool) -> None:
    with parameters_without_memory():
        module = network.build()
    network.fill(module, read_checkpoint(path))
    tensors = {
        name: _stored(tensor, half and tensor.ndim > 1 and not name.startswith(network.single))
        for name, tensor in module.state_dict().items()
    }
    converted.parent.mkdir(parents=True, exist_ok=True)
    for old in converted.parent.glob(f"{path.stem}-*-{'half' if half else 'single'}.safetensors"):
        old.unlink()
    partial = converted.with_suffix(".partial")
    try:
        save_file(tensors, partial, {"sha256": sha256_of(path)})
        os.replace(partial, converted)
    finally:
        partial.unlink(missing_ok=True)


def _stored(tensor: Tensor, half: bool) -> Tensor:
    """A tensor of its own; in half precision where that can hold it."""
    if not tensor.is_floating_point():
        return tensor.contiguous().clone()
    if half and torch.isfinite(narrow := tensor.half()).all():
        return narrow.contiguous()
    return tensor.float().contiguous().clone()


@contextmanager
def parameters_without_memory() -> Iterator[None]:
    """Modules built within have their buffers, but parameters on the meta device: no time goes into random numbers."""
    register = nn.Module.register_parameter

    def without_memory(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(module, name, parameter)
        if parameter is not None:
            module._parameters[name] = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)

    nn.Module.register_parameter = without_memory  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
