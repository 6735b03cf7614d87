"""The job store and the blob store: what they promise when they are opened again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from unocclude.errors import UnoccludeError
from unocclude.protocol import Artifact, JobSpec
from unocclude.server.blobs import BlobStore
from unocclude.server.estimate import Estimate
from unocclude.server.jobs import JobStore

A, B = "a" * 32, "b" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


def test_jobs_wait_in_order_and_outlive_the_process(path: Path) -> None:
    store = JobStore(path)
    store.add(A, JobSpec(seed=3), "image", None)
    store.add(B, JobSpec(), "image", "mask", completion="completion")
    again = JobStore(path)  # the first one is not even closed, as after a crash
    first = again.next_queued()
    assert first is not None
    assert (first.job, first.spec, first.image, first.mask) == (A, JobSpec(seed=3), "image", None)
    assert first.completion is None
    assert again.count_queued() == 2
    (second,) = again.newest(1)
    assert again.describe(second).ahead == 1
    assert (second.mask, second.completion) == ("mask", "completion")
    assert again.needs("completion")


def test_only_the_newest_progress_of_a_stage_is_kept(path: Path) -> None:
    store = JobStore(path)
    store.add(A, JobSpec(), "image", None)
    store.move(A, "running")
    for step in range(1, 101):
        store.progress(A, "complete", step, 100, preview=b"png" if step % 10 == 0 else None)
    store.progress(A, "views", 1, 2)
    store.move(A, "done", artifacts=[Artifact("mesh.glb", 3, "ab" * 32)])
    events = store.events(A, 0)
    assert [(event.state, event.stage, event.step) for event in events] == [
        ("queued", None, 0),
        ("running", None, 0),
        ("running", "complete", 99),
        ("running", "complete", 100),
        ("running", "views", 1),
        ("done", None, 0),
    ]
    assert [event.preview for event in events if event.step == 100] == [b"png"]
    assert [event.seq for event in store.events(A, events[2].seq)] == [event.seq for event in events[3:]]


def test_numbers_rise_over_a_restart(path: Path) -> None:
    store = JobStore(path)
    store.add(A, JobSpec(), "image", None)
    store.move(A, "running")
    store.progress(A, "complete", 5, 10)
    last = store.events(A, 0)[-1].seq
    again = JobStore(path)
    again.recover()
    assert [(event.state, event.seq > last) for event in again.events(A, last)] == [("queued", True)]
    job = again.get(A)
    assert job is not None
    assert job.started is None


@pytest.mark.parametrize("steps", [["done"], ["running", "running"], ["running", "done", "queued"], ["cancelling"]])
def test_states_change_only_as_they_may(path: Path, steps: list) -> None:
    store = JobStore(path)
    store.add(A, JobSpec(), "image", None)
    for state in steps[:-1]:
        store.move(A, state)
    before = store.events(A, 0)
    with pytest.raises(ValueError, match=A):
        store.move(A, steps[-1])
    assert store.events(A, 0) == before


def test_a_job_is_all_or_nothing(path: Path) -> None:
    store = JobStore(path)
    store.add(A, JobSpec(), "image", None)
    store.move(A, "running")
    twice = [Artifact("mesh.glb", 1, "ab" * 32)] * 2
    with pytest.raises(Exception, match="UNIQUE"):
        store.move(A, "done", artifacts=twice)
    job = store.get(A)
    assert job is not None
    assert job.state == "running"
    assert store.artifact(A, "mesh.glb") is None


def test_a_store_that_cannot_be_opened_is_said_with_the_cure(path: Path) -> None:
    path.mkdir()
    with pytest.raises(UnoccludeError, match=r"jobs\.sqlite") as caught:
        JobStore(path)
    assert caught.value.code == "storage"
    assert caught.value.cure


def test_crashes_are_counted_for_each_stage(path: Path) -> None:
    store = JobStore(path)
    assert [store.count_crash(A, stage) for stage in ("", "views", "views", "mesh", "")] == [1, 1, 2, 1, 2]
    assert store.count_crash(B, "views") == 1


def test_past_runs_are_those_of_the_same_work(path: Path) -> None:
    store = JobStore(path)
    for job, spec in ((A, JobSpec(seed=1)), (B, JobSpec(samples=1))):
        store.add(job, spec, "image", None)
        store.move(job, "running")
        store.progress(job, "complete", 1, 1)
        store.move(job, "done")
    assert [list(run) for run in store.past_runs(JobSpec(seed=2, elevation=3.0))] == [["complete"]]
    assert store.past_runs(JobSpec(preset="fast")) == []


def test_an_estimate_is_the_mean_of_what_like_jobs_took() -> None:
    estimate = Estimate([{"complete": 10.0, "views": 30.0}, {"complete": 20.0, "views": 50.0}, {"views": 1.0}])
    assert estimate.seconds_left("complete", 0, 4) == 40.0
    assert estimate.seconds_left("complete", 2, 4) == 32.5
    assert estimate.seconds_left("views", 1, 2) == 12.5
    assert estimate.seconds_left("views", 3, 2) == 0.0
    assert estimate.seconds_left("mesh", 1, 2) is None
    assert Estimate([]).seconds_left("complete", 1, 2) is None


def test_blobs_are_kept_once_under_their_content(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    for name in ("file", "copy"):
        (tmp_path / name).write_bytes(b"content")
        digest, size = blobs.take(tmp_path / name)
        assert (digest, size) == (hashlib.sha256(b"content").hexdigest(), 7)
    other = tmp_path / "other"
    other.write_bytes(b"more content")
    more, size = blobs.take(other)
    assert (blobs.read(digest), blobs.read(more), size) == (b"content", b"more content", 12)
    assert not other.exists()
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 2
