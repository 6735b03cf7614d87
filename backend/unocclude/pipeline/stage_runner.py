"""Runs stages, and takes from the store what was done before with the very same inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch

from unocclude.models.profiles import Weights
from unocclude.pipeline.fingerprint import fingerprint, surroundings
from unocclude.pipeline.stage_store import StageStore

Result = TypeVar("Result")

UNDECIDING = {"progress", "passes"}
"""Arguments that do not decide what a stage gives: who watches, and how much memory it may take at once."""


class StageRunner:
    """`runner(stage, ...)` is `stage(...)`, or what that gave before.

    `Weights` among the arguments become the network itself. `reused` names the stages that did not run.
    """

    def __init__(self, kept: Path | None, device: torch.device) -> None:
        """`kept`: folder of the store. None: everything runs, nothing is kept."""
        self._store = None if kept is None else StageStore(kept)
        self._surroundings = surroundings(device) if kept is not None else ""
        self.reused: list[str] = []

    def __call__(self, stage: Callable[..., Result], *inputs: Any, **options: Any) -> Result:
        call = inspect.signature(stage).bind(*inputs, **options)
        key = self._key(stage, call) if self._store is not None else ""
        if self._store is not None:
            found: Result | None = self._store.load(key, get_type_hints(stage)["return"])
            if found is not None:
                self.reused.append(stage.__name__)
                return found
        for name, value in call.arguments.items():
            if isinstance(value, Weights):
                call.arguments[name] = value.load()
        result = stage(*call.args, **call.kwargs)
        if self._store is not None:
            self._store.save(key, result)
        return result

    def _key(self, stage: Callable[..., Any], call: inspect.BoundArguments) -> str:
        call.apply_defaults()
        deciding = {
            name: value.digest() if isinstance(value, Weights) else value
            for name, value in call.arguments.items()
            if name not in UNDECIDING
        }
        return fingerprint(self._surroundings, stage.__module__, stage.__qualname__, deciding)
