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
from torch import Tensor, nn

from unocclude.errors import ModelsMissingError, UnoccludeError
from unocclude.models.known_features import KnownFeatures
from unocclude.models.registry import BUNDLED

Tensors = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)
"""Built from one dataclass, `__init__(self, config: SomeConfig)`, which it keeps as `self.config`."""

CLASSIFIER = BUNDLED / "classifier.safetensors"
"""The weights of ImageNet's classifier as published; the header has timm's name of it. No training changes this file:
networks that look through the classifier as it is share it, one whose classifier learned along keeps its own."""

CURE = "Reinstall unocclude, or train this model again with unocclude train."


def save_bundled(module: nn.Module, path: Path, card: Mapping[str, Any]) -> None:
    """Writes all weights of `module` that are not the published classifier's, its config, and `card`: JSON-ready notes
    such as steps and measured figures.

    Raises UnoccludeError where a weight does not fit half precision; nothing is written then.
    """
    tensors, published = {}, _classifier_of(module)
    for name, tensor in module.state_dict().items():
        stored = tensor.detach().cpu().half() if tensor.is_floating_point() else tensor.detach().cpu()
        if not torch.isfinite(stored).all():
            raise UnoccludeError(f"The weight {name} is not finite in half precision.", "Train with a lower rate.")
        if name not in published or not torch.equal(stored, published[name]):
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
    header, tensors = _read(path)
    if header.get("network") != network.__name__:
        raise ModelsMissingError(f"The file {path.name} does not hold a {network.__name__}.", CURE)
    config_type = get_type_hints(network.__init__)["config"]
    try:
        module = network(from_json(config_type, json.loads(header["config"])))
        module.load_state_dict(_classifier_of(module) | tensors)
    except (TypeError, KeyError, RuntimeError) as error:
        raise ModelsMissingError(f"The weights {path.name} are of another version: {error}", CURE) from error
    return module.eval()


def _classifier_of(module: nn.Module) -> Tensors:
    """The published classifier's weights, by their names in `module`; none where it has no classifier."""
    looks_through = {name: part for name, part in module.named_modules() if isinstance(part, KnownFeatures)}
    if not looks_through:
        return {}
    header, weights = _read(CLASSIFIER)
    prefixes = [f"{name}.classifier." for name, part in looks_through.items() if part.name == header["classifier"]]
    return {prefix + name: weight for prefix in prefixes for name, weight in weights.items()}


def _read(path: Path) -> tuple[dict[str, str], Tensors]:
    """(header, tensors). Raises ModelsMissingError."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelsMissingError(f"The weights {path.name} cannot be read: {error}.", CURE) from error


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
