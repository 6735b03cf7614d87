"""Work beside Blender's main thread, one thing at a time, that can be broken off."""

from __future__ import annotations

import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .environment import clean_environment

LONGEST_GOODBYE = 10.0
"""Seconds that `close` waits at most."""


class Background(ABC):
    """Belongs to the main thread. Whoever takes the news that the work has ended says so by `_ended`."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._leaving = threading.Event()

    @property
    def busy(self) -> bool:
        return self._thread is not None

    def cancel(self) -> None:
        """Break off what is under way. What was there before and what has come by now stay."""
        self._leaving.set()
        if self._process is not None:
            self._end(self._process)

    def close(self) -> None:
        """End what is under way and wait for it."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(LONGEST_GOODBYE)

    @abstractmethod
    def _end(self, process: subprocess.Popen[str]) -> None:
        """Have it end soon. It may have ended already."""

    def _begin(self, work: Callable[[], None]) -> None:
        """Start work that raises nothing. Raises ValueError while something is under way."""
        if self.busy:
            raise ValueError("one thing at a time")
        self._leaving.clear()
        self._process = None
        self._thread = threading.Thread(target=work, name="unocclude-background", daemon=True)
        self._thread.start()

    def _ended(self) -> None:
        self._thread = None

    def _open(self, command: Sequence[str], environment: Mapping[str, str] = {}, **pipes: Any) -> subprocess.Popen[str]:
        """A process that `cancel` ends, with these pipes, as its own thread has it."""
        self._process = process = subprocess.Popen(
            command,
            env={**clean_environment(), **environment},
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            **pipes,
        )
        if self._leaving.is_set():  # since before there was a process
            self._end(process)
        return process
