"""Keeps one device at work: gives jobs to its worker, answers for the worker when it dies, and starts the next one."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from unocclude.errors import UnoccludeError
from unocclude.protocol import Artifact, Message, ProtocolError, decode, encode, error_from_json, make_error
from unocclude.server.estimate import Estimate
from unocclude.server.jobs import JobStore, StoredJob
from unocclude.server.sockets import PeerGone, Router
from unocclude.server.worker import REPORTS, pulse_name
from unocclude.server.worker_process import WorkerProcess

log = logging.getLogger(__name__)

MAX_CRASHES = 2
"""So many workers may die of a job in one stage before it fails. Where it gets further each time, it may go on."""
MAX_FALSE_STARTS = 3
"""So many workers in a row may die before they are ready; then no more are started until a new job comes."""
FREE_DEATHS = 2
"""So many workers in a row may die without ending a job and are replaced at once; then each one waits twice as long."""
LONGEST_PAUSE = 60.0
"""Seconds between a worker's death and the next one's start, at most."""


class WorkerKeeper:
    """`start` makes a worker process for `device`. `starts` and `deaths` count its workers so far."""

    def __init__(self, device: str, jobs: JobStore, router: Router, start: Callable[[], WorkerProcess]) -> None:
        self.device = device
        self.worker: WorkerProcess | None = None
        self.starts = self.deaths = 0
        self.reason = ""
        """Why no worker could be started, where `gave_up`."""
        self._jobs = jobs
        self._router = router
        self._start = start
        self._outcome: Message | None = None
        self._estimate = Estimate([])
        self._false_starts = 0
        self._deaths_in_a_row = 0
        self._next_start = 0.0

    @property
    def state(self) -> Literal["none", "starting", "idle", "busy"]:
        return self.worker.state if self.worker else "none"

    @property
    def job(self) -> str | None:
        """What the worker works on."""
        return self.worker.job if self.worker else None

    @property
    def gave_up(self) -> bool:
        return self._next_start == math.inf

    def encourage(self) -> None:
        """A new job is a new chance for a worker that could not start."""
        if self.gave_up:
            self._next_start = 0.0

    def close(self) -> None:
        """End the worker. Its job stays in the store."""
        if self.worker is not None:
            self.worker.kill()

    def knows(self, name: str) -> bool:
        """Whether the worker speaks under this name."""
        return self.worker is not None and name in (self.worker.name, pulse_name(self.worker.name))

    def hear(self, frames: list[bytes]) -> None:
        """Take one report of the worker."""
        worker = self.worker
        assert worker is not None
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
        """Note what ended, replace a worker that is dead or bloated."""
        if self._outcome is not None:
            self._settle(self._outcome)
        if self.worker is None:
            if time.monotonic() >= self._next_start:
                self.starts += 1
                self.worker = self._start()
            return
        death = self.worker.cause_of_death()
        if death is not None:
            self._bury(self.worker, death)

    def begin(self, job: StoredJob) -> None:
        """Give the idle worker this job."""
        assert self.worker is not None
        self._estimate = Estimate(self._jobs.past_runs(job.spec))
        self._jobs.move(job.job, "running")
        self.worker.begin(job.job)
        spec = replace(job.spec, device="cpu") if (self.device, job.spec.device) == ("cpu", "auto") else job.spec
        pictures = {"image": job.image, "mask": job.mask, "completion": job.completion}
        self._tell(self.worker, "run", {"job": job.job, "spec": spec.to_json(), **pictures})
        log.info("runs", extra={"job": job.job})

    def cancel(self) -> None:
        """Ask the worker to stop; it is ended by force where it does not."""
        assert self.worker is not None
        self.worker.expect_end()
        self._tell(self.worker, "cancel", {"job": self.worker.job})

    def _tell(self, worker: WorkerProcess, kind: str, fields: dict[str, object]) -> None:
        try:
            heard = self._router.send(worker.name.encode(), encode(kind, fields))
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
        if self.worker is not None:
            self.worker.finish(outcome.fields["memory"])
            if self.worker.bloated:
                log.warning("the worker grew from job to job, and is replaced")
                self.worker.kill()
                self.worker = None

    def _fail(self, job: str, error: UnoccludeError | None) -> None:
        """End a job without a result; where its end was wished for, that is what it was."""
        stored = self._jobs.get(job)
        if stored is not None and stored.state == "cancelling":
            self._jobs.move(job, "cancelled", error=cancelled())
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
                self._fail(job.job, worker_error(f"The worker {death}, {crashes} times at the same point."))
        elif not worker.ready:
            self._false_starts += 1
            if self._false_starts >= MAX_FALSE_STARTS:
                self._next_start = math.inf
                self.reason = f"it {death}: {words}"
        worker.kill()
        self.worker = None


def cancelled() -> UnoccludeError:
    return make_error("cancelled", "The job was cancelled.", "")


def worker_error(message: str) -> UnoccludeError:
    return make_error("worker", message, "See the worker's log in the backend's home folder.")
