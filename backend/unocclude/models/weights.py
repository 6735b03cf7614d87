"""Bundled weights: safetensors in half precision, the network's configuration in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from unocclude.errors import ModelsMissingError, UnoccludeError

Network = TypeVar("Network", bound=nn.Module)
"""Built from one dataclass, `__init__(self, config: SomeConfig)`, which it keeps as `self.config`."""

CURE = "Reinstall unocclude, or train this model again with unocclude train."


def save_bundled(module: nn.Module, path: Path, card: Mapping[str, Any]) -> None:
    """Writes all weights of `module`, its config, and `card`: JSON-ready notes such as steps and measured
    figures.

    Raises UnoccludeError where a weight does not fit half precision; nothing is written then.
    """
    tensors = {}
    for name, tensor in module.state_dict().items():
        stored = tensor.detach().cpu().half() if tensor.is_floating_point() else tensor.detach().cpu()
        if not torch.isfinite(stored).all():
            raise UnoccludeError(f"The weight {name} is not finite in half precision.", "Train with a lower rate.")
        tensors[name] = stored.contiguous().clone()
    metadata = {
        "network": type(module).__name__,
        "config": json.dumps(asdict(module.config)),  # type: ignore[call-overload]
        "card": json.dumps(card),
    }
    save_file(tensors, path, metadata)


def load_bundled(path: Path, network: type[Network]) -> Network:
    """A network in evaluation mode, float32, on the CPU.

    Raises ModelsMissingError where the file is missing, damaged, or holds another network.
    """
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelsMissingError(f"The weights {path.name} cannot be read: {error}.", CURE) from error
    if header.get("network") != network.__name__:
        raise ModelsMissingError(f"The file {path.name} does not hold a {network.__name__}.", CURE)
    config_type = get_type_hints(network.__init__)["config"]
    try:
        module = network(from_json(config_type, json.loads(header["config"])))
        module.load_state_dict(tensors)
    except (TypeError, KeyError, RuntimeError) as error:
        raise ModelsMissingError(f"The weights {path.name} are of another version: {error}", CURE) from error
    return module.eval()


def read_card(path: Path) -> dict[str, Any]:
    """What `save_bundled` was told about the weights."""
    with safe_open(path, "pt") as file:
        return dict(json.loads(file.metadata()["card"]))


def from_json(kind: Any, value: Any) -> Any:
    """The inverse of `dataclasses.asdict` and JSON: nested dataclasses again, also optional ones, tuples for lists.

    Raises TypeError on unknown or missing fields.
    """
    kind = next((option for option in get_args(kind) if is_dataclass(option)), kind)
    if is_dataclass(kind) and value is not None:
        hints = get_type_hints(kind)
        known = {field.name for field in fields(kind)}
        values = {name: from_json(hints[name] if name in known else Any, v) for name, v in value.items()}
        return kind(**values)  # type: ignore[operator]
    if isinstance(value, list):
        return tuple(from_json(Any, item) for item in value)
    return value
