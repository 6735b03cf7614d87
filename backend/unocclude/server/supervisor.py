"""Gives the waiting jobs to the workers, one for each device, the job that waits longest first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from unocclude.connection import Connection
from unocclude.protocol import WorkerStatus
from unocclude.server.auth import WORKERS, Gate, KeyPair
from unocclude.server.jobs import JobStore, StoredJob
from unocclude.server.sockets import Router
from unocclude.server.worker_keeper import WorkerKeeper, cancelled, worker_error
from unocclude.server.worker_process import WorkerProcess


class Supervisor:
    """Polled by the broker: `hear` when `router.socket` is readable, `watch` at each turn of its loop.

    `devices` as in devices.py; each gets a worker of its own.
    """

    def __init__(
        self,
        home: Path,
        runner: str,
        jobs: JobStore,
        router: Router,
        gate: Gate,
        server_key: str,
        devices: Sequence[str],
    ) -> None:
        self.router = router
        self._home = home
        self._runner = runner
        self._jobs = jobs
        self._gate = gate
        self._server_key = server_key
        self._keepers = [
            WorkerKeeper(device, jobs, router, partial(self._start, device, number))
            for number, device in enumerate(devices, 1)
        ]

    @property
    def starts(self) -> int:
        """Of workers, so far."""
        return sum(keeper.starts for keeper in self._keepers)

    @property
    def deaths(self) -> int:
        return sum(keeper.deaths for keeper in self._keepers)

    def status(self) -> tuple[WorkerStatus, ...]:
        """In the order of the devices."""
        return tuple(WorkerStatus(keeper.device, keeper.state, keeper.job) for keeper in self._keepers)

    def close(self) -> None:
        """End the workers. Their jobs stay in the store."""
        for keeper in self._keepers:
            keeper.close()

    def hear(self) -> None:
        """Take one report of a worker."""
        peer, _, frames = self.router.receive()
        name = peer.decode("utf-8", "replace")
        for keeper in self._keepers:  # none knows the last words of a worker that was replaced
            if keeper.knows(name):
                keeper.hear(frames)

    def watch(self) -> None:
        """Look after every worker, give idle ones their next jobs; where no worker can start, fail what waits."""
        for keeper in self._keepers:
            keeper.watch()
            job = self._jobs.next_queued() if keeper.state == "idle" else None
            if job is not None:
                keeper.begin(job)
        if all(keeper.gave_up for keeper in self._keepers):
            while (job := self._jobs.next_queued()) is not None:
                error = worker_error(f"The worker cannot start; {self._keepers[0].reason}")
                self._jobs.move(job.job, "failed", error=error)

    def cancel(self, job: StoredJob) -> None:
        """End a job: at once where it waits, soon where it runs."""
        if job.state == "queued":
            self._jobs.move(job.job, "cancelled", error=cancelled())
        elif job.state == "running":
            self._jobs.move(job.job, "cancelling")
            for keeper in self._keepers:
                if keeper.job == job.job:
                    keeper.cancel()

    def encourage(self) -> None:
        """A new job is a new chance for workers that could not start."""
        for keeper in self._keepers:
            keeper.encourage()

    def _start(self, device: str, number: int) -> WorkerProcess:
        keys = KeyPair.new()
        living = {keeper.worker.key for keeper in self._keepers if keeper.worker is not None}
        self._gate.known[WORKERS] = living | {keys.public}
        connection = Connection(self.router.endpoint, self._server_key, keys.public, keys.secret, os.getpid())
        return WorkerProcess(self._home, self._runner, connection, device, number)
