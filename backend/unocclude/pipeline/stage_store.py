"""What stages gave, under the fingerprint of all that decided it."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from unocclude.durable_files import write_durably

log = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]
DIGEST_SIZE = hashlib.sha256().digest_size


class StageStore:
    """Values made of arrays: an array, a number, and lists and dataclasses of these.

    Each file begins with the sha256 of the rest, so what was damaged is never used. A store that cannot be written
    costs time alone: the values are computed again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: str) -> Path:
        return self._folder / key[:2] / key[2:]

    def load(self, key: str, kind: Any) -> Any | None:
        """The value of this type, None where there is none that is whole."""
        path = self.path(key)
        try:
            data = path.read_bytes()
            if hashlib.sha256(data[DIGEST_SIZE:]).digest() != data[:DIGEST_SIZE]:
                raise ValueError("its checksum is wrong")
            value = _restored(kind, load(data[DIGEST_SIZE:]), "value")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            log.warning("a kept result is not usable (%s)", error)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # the retention spares what was used last
        return value

    def save(self, key: str, value: Any) -> None:
        if self.path(key).exists():  # another worker came to the same result meanwhile
            return
        payload = save(_flat(value, "value"))
        try:
            write_durably(self.path(key), hashlib.sha256(payload).digest() + payload)
        except OSError as error:
            log.warning("a result cannot be kept (%s)", error)


def _flat(value: Any, name: str) -> dict[str, NDArray[Any]]:
    if is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
    elif isinstance(value, list):
        parts = {str(number): item for number, item in enumerate(value)}
    else:
        return {name: np.array(value, order="C")}
    return {key: array for part, item in parts.items() for key, array in _flat(item, f"{name}.{part}").items()}


def _restored(kind: Any, arrays: Arrays, name: str) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(
            **{field.name: _restored(hints[field.name], arrays, f"{name}.{field.name}") for field in fields(kind)}
        )
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        count = len({key[len(name) + 1 :].split(".")[0] for key in arrays if key.startswith(f"{name}.")})
        return [_restored(item, arrays, f"{name}.{number}") for number in range(count)]
    return arrays[name].item() if kind in (int, float) else arrays[name]
