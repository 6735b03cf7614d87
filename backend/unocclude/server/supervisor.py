"""Gives the waiting jobs to the worker, one after the other, and answers for them when the worker dies."""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path
from typing import Literal

from unocclude.connection import Connection
from unocclude.errors import UnoccludeError
from unocclude.protocol import Artifact, Message, ProtocolError, decode, encode, error_from_json, make_error
from unocclude.server.auth import WORKERS, Gate, KeyPair
from unocclude.server.estimate import Estimate
from unocclude.server.jobs import JobStore, StoredJob
from unocclude.server.sockets import PeerGone, Router
from unocclude.server.worker import REPORTS, pulse_name
from unocclude.server.worker_process import WorkerProcess

log = logging.getLogger(__name__)

MAX_CRASHES = 2
"""So many workers may die of a job in one stage before it fails. Where it gets further each time, it may go on."""
MAX_FALSE_STARTS = 3
"""So many workers in a row may die before they are ready; then the waiting jobs fail."""
FREE_DEATHS = 2
"""So many workers in a row may die without ending a job and are replaced at once; then each one waits twice as long."""
LONGEST_PAUSE = 60.0
"""Seconds between a worker's death and the next one's start, at most."""


class Supervisor:
    """Polled by the broker: `hear` when `router.socket` is readable, `watch` at each turn of its loop."""

    def __init__(self, home: Path, runner: str, jobs: JobStore, router: Router, gate: Gate, server_key: str) -> None:
        self.router = router
        self._home = home
        self._runner = runner
        self._jobs = jobs
        self._gate = gate
        self._server_key = server_key
        self._worker: WorkerProcess | None = None
        self._outcome: Message | None = None
        self._estimate = Estimate([])
        self._false_starts = 0
        self._deaths_in_a_row = 0
        self._next_start = 0.0
        self.starts = self.deaths = 0
        """Of workers, so far."""

    @property
    def state(self) -> Literal["none", "starting", "idle", "busy"]:
        return self._worker.state if self._worker else "none"

    @property
    def job(self) -> str | None:
        """What the worker works on."""
        return self._worker.job if self._worker else None

    def close(self) -> None:
        """End the worker. Its job stays in the store."""
        if self._worker is not None:
            self._worker.kill()

    def hear(self) -> None:
        """Take one report of the worker."""
        name, _, frames = self.router.receive()
        worker = self._worker
        if worker is None or name.decode("utf-8", "replace") not in (worker.name, pulse_name(worker.name)):
            return  # the last words of a worker that was replaced
        try:
            report = decode(frames, REPORTS)
        except ProtocolError as error:
            log.error("the worker talks nonsense: %s", error)
            worker.kill()
            return
        if report.type == "ready":
            worker.started()
            self._false_starts = 0
        elif report.type == "pulse":
            worker.pulse(report.fields["cpu"])
        elif report.fields["job"] != worker.job:
            log.warning("the worker speaks of a job that it was not given", extra={"job": report.fields["job"]})
        elif report.type == "progress":
            job, stage, step, total = (report.fields[field] for field in ("job", "stage", "step", "total"))
            worker.advance(stage)
            eta = self._estimate.seconds_left(stage, step, total)
            self._jobs.progress(job, stage, step, total, eta, report.blobs[0] if report.blobs else None)
        else:
            self._outcome = report

    def watch(self) -> None:
        """Note what ended, replace a dead worker, give an idle one its next job."""
        if self._outcome is not None:
            self._settle(self._outcome)
        if self._worker is None:
            if time.monotonic() >= self._next_start:
                self._worker = self._start()
            return
        death = self._worker.cause_of_death()
        if death is not None:
            self._bury(self._worker, death)
        elif self._worker.state == "idle":
            job = self._jobs.next_queued()
            if job is not None:
                self._begin(self._worker, job)

    def cancel(self, job: StoredJob) -> None:
        """End a job: at once where it waits, soon where it runs."""
        if job.state == "queued":
            self._jobs.move(job.job, "cancelled", error=_cancelled())
        elif job.state == "running":
            self._jobs.move(job.job, "cancelling")
            if self._worker is not None and self._worker.job == job.job:
                self._worker.expect_end()
                self._tell(self._worker, "cancel", {"job": job.job})

    def encourage(self) -> None:
        """A new job is a new chance for a worker that could not start."""
        if self._next_start == math.inf:
            self._next_start = 0.0

    def _start(self) -> WorkerProcess:
        self.starts += 1
        keys = KeyPair.new()
        self._gate.known[WORKERS] = {keys.public}
        connection = Connection(self.router.endpoint, self._server_key, keys.public, keys.secret, os.getpid())
        return WorkerProcess(self._home, self._runner, connection)

    def _begin(self, worker: WorkerProcess, job: StoredJob) -> None:
        self._estimate = Estimate(self._jobs.past_runs(job.spec))
        self._jobs.move(job.job, "running")
        worker.begin(job.job)
        pictures = {"image": job.image, "mask": job.mask, "completion": job.completion}
        self._tell(worker, "run", {"job": job.job, "spec": job.spec.to_json(), **pictures})
        log.info("runs", extra={"job": job.job})

    def _tell(self, worker: WorkerProcess, kind: str, fields: dict[str, object]) -> None:
        try:
            heard = self.router.send(worker.name.encode(), encode(kind, fields))
        except PeerGone:
            heard = False
        if not heard:
            worker.kill()  # a worker that cannot be told anything is no use; the next watch sees it dead

    def _settle(self, outcome: Message) -> None:
        """Write down how the job ended. Tried again at the next turn where the store cannot be written."""
        job = outcome.fields["job"]
        if outcome.type == "done":
            self._jobs.move(job, "done", artifacts=[Artifact(**values) for values in outcome.fields["artifacts"]])
            log.info("done", extra={"job": job})
        else:
            self._fail(job, error_from_json(outcome.fields["error"]))
        self._outcome = None
        self._deaths_in_a_row = 0
        if self._worker is not None:
            self._worker.finish()

    def _fail(self, job: str, error: UnoccludeError | None) -> None:
        """End a job without a result; where its end was wished for, that is what it was."""
        stored = self._jobs.get(job)
        if stored is not None and stored.state == "cancelling":
            self._jobs.move(job, "cancelled", error=_cancelled())
        else:
            self._jobs.move(job, "failed", error=error)
        log.info("ended without a result: %s", error, extra={"job": job})

    def _bury(self, worker: WorkerProcess, death: str) -> None:
        """What a worker's death means for its job and for the next worker."""
        words = worker.last_words()
        self.deaths += 1
        log.error("the worker %s; its last words: %s", death, words, extra={"job": worker.job})
        job = self._jobs.get(worker.job) if worker.job is not None else None
        if job is None or job.state != "cancelling":
            self._deaths_in_a_row += 1
        pauses = self._deaths_in_a_row - FREE_DEATHS
        pause = min(2.0 ** (pauses - 1), LONGEST_PAUSE) if pauses > 0 else 0.0
        self._next_start = time.monotonic() + pause
        if job is not None:
            crashes = self._jobs.count_crash(job.job, worker.stage)
            if job.state == "running" and crashes < MAX_CRASHES:
                self._jobs.move(job.job, "queued")
            else:
                self._fail(job.job, _worker_error(f"The worker {death}, {crashes} times at the same point."))
        elif not worker.ready:
            self._false_starts += 1
            if self._false_starts >= MAX_FALSE_STARTS:
                self._next_start = math.inf
                while (job := self._jobs.next_queued()) is not None:
                    self._fail(job.job, _worker_error(f"The worker cannot start; it {death}: {words}"))
        worker.kill()
        self._worker = None


def _cancelled() -> UnoccludeError:
    return make_error("cancelled", "The job was cancelled.", "")


def _worker_error(message: str) -> UnoccludeError:
    return make_error("worker", message, "See worker.log in the backend's home folder.")
