"""A child process as the broker sees it: start it, watch its deadline, end it."""

from __future__ import annotations

import math
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from unocclude.connection import Connection
from unocclude.server.orders import Orders

START_LIMIT = 900.0
"""Seconds that a child may take to import its libraries."""
MAX_LOG = 2_000_000
"""Bytes of a child's log after which the next child begins a new one."""


class ChildProcess:
    """Runs `unocclude.server.<kind>`, which writes to `log`, with these additions to the environment.

    `ready` is set when its libraries are loaded.
    """

    def __init__(
        self, kind: str, home: Path, runner: str, connection: Connection, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = f"{kind}-{secrets.token_hex(4)}"
        self.ready = False
        self._log = log
        if self._log.exists() and self._log.stat().st_size > MAX_LOG:
            os.replace(self._log, self._log.with_name(f"{self._log.name}.1"))
        self.expect_within(START_LIMIT, f"did not start within {START_LIMIT:g} s")
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"unocclude.server.{kind}"],
                cwd=home,
                stdin=subprocess.PIPE,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                # A group of its own, so that Ctrl-C in the terminal reaches the broker alone.
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once, which the next look at it will tell
            self._process.stdin.write(Orders(self.name, str(home), runner, connection).to_line())
            self._process.stdin.flush()

    def started(self) -> None:
        self.ready = True
        self.expect_nothing()

    def expect_within(self, seconds: float, otherwise: str) -> None:
        """From now on, a child that is not heard of for so long counts as hung. `otherwise` says what it did."""
        self._deadline = time.monotonic() + seconds
        self._overdue = otherwise

    def expect_nothing(self) -> None:
        self._deadline = math.inf

    def cause_of_death(self) -> str | None:
        """Why the child is no more, or None while it lives. Ends one that is past its deadline."""
        code = self._process.poll()
        if code is None:
            if time.monotonic() < self._deadline:
                return None
            self.kill()
            return self._overdue
        return f"died of signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with exit code {code}"

    def kill(self) -> None:
        """End the process now, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def last_words(self) -> str:
        """The last line that it logged."""
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""
