"""Digests of all that decides what a stage gives: its inputs, its code, its surroundings."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

PACKAGE = Path(__file__).parent.parent
LIBRARIES = (
    "torch",
    "numpy",
    "scipy",
    "pillow",
    "diffusers",
    "transformers",
    "segment-anything",
    "timm",
    "opencv-python-headless",
    "xatlas",
    "pymcubes",
    "libigl",
)


def fingerprint(*values: Any) -> str:
    """The sha256 of values: numbers, texts, None, arrays, devices, and sequences, mappings and dataclasses of these.

    Values of different types or shapes never meet. Raises TypeError for anything else, rather than to overlook it.
    """
    digest = hashlib.sha256()
    _add(digest, values)
    return digest.hexdigest()


def surroundings(device: torch.device) -> str:
    """The digest of what else decides the last bits: the stages' own code, the libraries, the machine."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return fingerprint(_code(), _versions(), platform.machine(), device, gpu, torch.get_num_threads())


def _add(digest: hashlib._Hash, value: Any) -> None:
    kind = type(value)
    digest.update(f"<{kind.__module__}.{kind.__qualname__}>".encode())
    if value is None or isinstance(value, (bool, int, float, str, torch.device, np.generic)):
        text = repr(value).encode()
        digest.update(b"%d:%b" % (len(text), text))
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value):
        _add(digest, {field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, Mapping):
        _add(digest, [entry for name in sorted(value) for entry in (name, value[name])])
    elif isinstance(value, (list, tuple)):
        digest.update(b"%d:" % len(value))
        for item in value:
            _add(digest, item)
    else:
        raise TypeError(f"{kind} has no fingerprint")


@lru_cache
def _code() -> str:
    """Of the files that the stages are written in: a change of theirs may change what they give."""
    digest = hashlib.sha256((PACKAGE / "cameras.py").read_bytes())
    for folder in ("models", "pipeline"):
        for file in sorted((PACKAGE / folder).glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


@lru_cache
def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in LIBRARIES}
