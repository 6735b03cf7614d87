"""The worker as the supervisor sees it: a child process with a job, and how long it may be silent about it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from unocclude.connection import Connection
from unocclude.server.child_process import ChildProcess

CANCEL_GRACE = 5.0
"""Seconds between the wish to cancel and the end by force."""
STALL_LIMIT = 1800.0
"""Seconds without progress after which a worker counts as hung; a slow stage on a CPU does not."""


class WorkerProcess(ChildProcess):
    """`job` is what it works on, `stage` where it was when it last told."""

    def __init__(self, home: Path, runner: str, connection: Connection) -> None:
        super().__init__("worker", home, runner, connection)
        self.job: str | None = None
        self.stage = ""
        self._ending = False

    @property
    def state(self) -> Literal["starting", "idle", "busy"]:
        return "busy" if self.job else "idle" if self.ready else "starting"

    def begin(self, job: str) -> None:
        self.job = job
        self._ending = False
        self.advance("")

    def advance(self, stage: str) -> None:
        """The job made progress. That does not help one that is expected to end."""
        self.stage = stage
        if not self._ending:
            self.expect_within(STALL_LIMIT, f"made no progress for {STALL_LIMIT / 60:g} minutes")

    def expect_end(self) -> None:
        """The job was cancelled; it has a little time to end by itself."""
        self._ending = True
        self.expect_within(CANCEL_GRACE, "did not stop when asked")

    def finish(self) -> None:
        self.job = None
        self.expect_nothing()
