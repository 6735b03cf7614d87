"""Workers that die: how often a job is tried again, and how long until the next worker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from unocclude.protocol import JobSpec
from unocclude.server.jobs import JobStore
from unocclude.server.worker_keeper import LONGEST_PAUSE, WorkerKeeper

A, B = "a" * 32, "b" * 32


class DeadWorker:
    """What is left of a worker that died of a job in a stage."""

    ready = True

    def __init__(self, job: str | None, stage: str) -> None:
        self.job = job
        self.stage = stage

    def last_words(self) -> str:
        return "Segmentation fault"

    def kill(self) -> None:
        pass


class Ward:
    """A keeper without processes, at a time that stands still."""

    def __init__(self, path: Path) -> None:
        self.jobs = JobStore(path)
        self.keeper = WorkerKeeper("auto", self.jobs, None, None)  # type: ignore[arg-type]

    def die(self, job: str | None, stage: str = "") -> float:
        """A worker dies; the seconds until the next one may start."""
        if job is not None:
            self.jobs.move(job, "running")
        worker: Any = DeadWorker(job, stage)
        self.keeper._bury(worker, "died of signal 11")
        return self.keeper._next_start - time.monotonic()

    def state(self, job: str) -> str:
        stored = self.jobs.get(job)
        assert stored is not None
        return stored.state


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    made = Ward(tmp_path / "jobs.sqlite")
    for job in (A, B):
        made.jobs.add(job, JobSpec(), "image", None)
    return made


def test_a_job_that_gets_further_each_time_goes_on(ward: Ward) -> None:
    for stage in ("", "segment", "complete", "views", "mesh"):
        ward.die(A, stage)
        assert ward.state(A) == "queued"


def test_a_job_that_dies_twice_at_the_same_point_fails(ward: Ward) -> None:
    for stage in ("views", "segment", "views"):
        assert ward.state(A) == "queued"
        ward.die(A, stage)
    stored = ward.jobs.get(A)
    assert stored is not None
    assert stored.error is not None
    assert (stored.state, stored.error.code) == ("failed", "worker")
    assert ward.state(B) == "queued"


def test_worker_after_worker_dying_slows_their_starts_down(ward: Ward) -> None:
    pauses = [ward.die(None) for _ in range(12)]
    assert pauses[:5] == [0, 0, 1, 2, 4]
    assert max(pauses) == pauses[-1] == LONGEST_PAUSE


def test_a_cancelled_job_counts_against_nobody(ward: Ward) -> None:
    for number in range(5):
        job = f"{number:032x}"
        ward.jobs.add(job, JobSpec(), "image", None)
        ward.jobs.move(job, "running")
        ward.jobs.move(job, "cancelling")
        worker: Any = DeadWorker(job, "views")
        ward.keeper._bury(worker, "did not stop when asked")
        assert ward.state(job) == "cancelled"
        assert ward.keeper._next_start == time.monotonic()
