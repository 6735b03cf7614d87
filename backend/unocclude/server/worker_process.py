"""One worker process as the supervisor sees it: start it, watch its deadline, end it."""

from __future__ import annotations

import math
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from unocclude.connection import Connection
from unocclude.server.worker import Orders

START_LIMIT = 900.0
"""Seconds that a worker may take to import its libraries."""
CANCEL_GRACE = 5.0
"""Seconds between the wish to cancel and the end by force."""
STALL_LIMIT = 1800.0
"""Seconds without progress after which a worker counts as hung; a slow stage on a CPU does not."""

MAX_LOG = 2_000_000
"""Bytes of worker.log after which a new worker begins a new one."""


class WorkerProcess:
    """`job` is what it works on; `ready` is set when its libraries are loaded."""

    def __init__(self, home: Path, runner: str, connection: Connection) -> None:
        self.name = f"worker-{secrets.token_hex(4)}"
        self.ready = False
        self.job: str | None = None
        self._ending = False
        self._log = home / "worker.log"
        if self._log.exists() and self._log.stat().st_size > MAX_LOG:
            os.replace(self._log, home / "worker.log.1")
        self._deadline = time.monotonic() + START_LIMIT
        self._overdue = f"did not start within {START_LIMIT:g} s"
        orders = Orders(self.name, str(home), runner, connection)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "unocclude.server.worker"],
                cwd=home,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # A group of its own, so that Ctrl-C in the terminal reaches the broker alone.
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once, which the next look at it will tell
            self._process.stdin.write(orders.to_line())
            self._process.stdin.flush()

    @property
    def state(self) -> Literal["starting", "idle", "busy"]:
        return "busy" if self.job else "idle" if self.ready else "starting"

    def started(self) -> None:
        self.ready = True
        self._deadline = math.inf

    def begin(self, job: str) -> None:
        self.job = job
        self._ending = False
        self.advance()

    def advance(self) -> None:
        """The job made progress. That does not help one that is expected to end."""
        if self._ending:
            return
        self._deadline = time.monotonic() + STALL_LIMIT
        self._overdue = f"made no progress for {STALL_LIMIT / 60:g} minutes"

    def expect_end(self) -> None:
        """The job was cancelled; it has a little time to end by itself."""
        self._ending = True
        self._deadline = time.monotonic() + CANCEL_GRACE
        self._overdue = "did not stop when asked"

    def finish(self) -> None:
        self.job = None
        self._deadline = math.inf

    def cause_of_death(self) -> str | None:
        """Why the worker is no more, or None while it lives. Ends one that is past its deadline."""
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
