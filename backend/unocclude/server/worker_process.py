"""The worker as the supervisor sees it: a child process with a job, and how long it may be silent about it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from unocclude.connection import Connection
from unocclude.server.child_process import ChildProcess
from unocclude.server.devices import surroundings

CANCEL_GRACE = 5.0
"""Seconds between the wish to cancel and the end by force."""
IDLE_LIMIT = 300.0
"""Seconds with neither progress nor work after which a worker counts as hung. Work is processor time; waiting for a GPU
takes some too, because torch spins."""
STALL_LIMIT = 1800.0
"""Seconds without progress after which a worker counts as hung, however much it works."""
WORKING_SHARE = 0.02
"""Of a processor, from which on a worker counts as working."""
MAX_GROWTH = 2 << 30
"""Bytes of memory that a worker may keep beyond what it kept after its first job; one that keeps more is leaking."""


class WorkerProcess(ChildProcess):
    """`job` is what it works on, `stage` where it was when it last told. `key` is its public key.

    `number` tells the workers of several devices apart.
    """

    def __init__(self, home: Path, runner: str, connection: Connection, device: str, number: int) -> None:
        log = home / ("worker.log" if number == 1 else f"worker-{number}.log")
        super().__init__("worker", home, runner, connection, log, surroundings(device))
        self.key = connection.public_key
        self.job: str | None = None
        self.stage = ""
        self._ending = False
        self._cpu = 0.0
        self._told = self._worked = time.monotonic()
        """When the last pulse came, and when it was last seen to work."""
        self._at_first = self._now = 0
        """Bytes that it kept after its first job and after its last."""

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
        self._worked = time.monotonic()
        if not self._ending:
            self.expect_within(STALL_LIMIT, f"made no progress for {STALL_LIMIT / 60:g} minutes")

    def pulse(self, cpu: float) -> None:
        """It told how many seconds of processor time it has used. One that cannot tell, because native code holds its
        interpreter, is not taken for idle."""
        now = time.monotonic()
        if self.job is None or cpu - self._cpu >= WORKING_SHARE * (now - self._told):
            self._worked = now
        elif now - self._worked >= IDLE_LIMIT and not self._ending:
            self.expect_within(0.0, f"neither worked nor made progress for {IDLE_LIMIT:g} s")
        self._cpu, self._told = cpu, now

    def expect_end(self) -> None:
        """The job was cancelled; it has a little time to end by itself."""
        self._ending = True
        self.expect_within(CANCEL_GRACE, "did not stop when asked")

    @property
    def bloated(self) -> bool:
        return self._now - self._at_first > MAX_GROWTH

    def finish(self, memory: int) -> None:
        """Its job ended; it keeps so many bytes of memory."""
        self.job = None
        self._now = memory
        self._at_first = self._at_first or memory
        self.expect_nothing()
