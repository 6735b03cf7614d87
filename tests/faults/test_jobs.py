"""The life of a job over real sockets: accepted, followed, fetched, cancelled, failed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from unocclude.client import new_job_id
from unocclude.errors import Cancelled, InputError, UnoccludeError
from unocclude.protocol import Event, JobSpec, Prompt


def test_a_job_is_followed_to_its_files(backend, tmp_path: Path) -> None:
    with backend.client() as client:
        spec = JobSpec(prompt=Prompt(points=((3.0, 4.5),)), seed=7)
        job = client.submit(spec, b"steps=4 pause=0.02 big", mask=b"a mask")
        events = list(client.follow(job))
        assert [event.seq for event in events] == sorted({event.seq for event in events})
        assert events[0].state == "queued"
        assert events[-1].state == "done"
        assert [event.stage for event in events if event.step == event.total > 0] == ["segment", "complete"]
        assert any(event.preview is not None and event.preview.startswith(b"\x89PNG") for event in events)

        paths = client.fetch(job, tmp_path)
        assert {path.relative_to(tmp_path).as_posix() for path in paths} == {
            "mesh.glb",
            "report.json",
            "views/000.png",
            "visible_mask.png",
        }
        assert (tmp_path / "mesh.glb").read_bytes() == bytes(range(256)) * 4096 * 3
        assert (tmp_path / "visible_mask.png").read_bytes() == b"a mask"
        assert (tmp_path / "report.json").read_text() == "7"

        info = client.job(job)
        assert info.spec == spec
        assert info.state == "done"
        assert info.started is not None
        assert info.ended is not None
        assert client.jobs()[0] == info


def test_fetch_repairs_and_skips(backend, tmp_path: Path) -> None:
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=1")
        client.wait(job)
        (report,) = client.fetch(job, tmp_path, ["report.json"])
        written = report.stat().st_mtime_ns
        client.fetch(job, tmp_path, ["report.json"])
        assert report.stat().st_mtime_ns == written
        report.write_text("spoilt")
        client.fetch(job, tmp_path, ["report.json"])
        assert report.read_text() == "0"
        with pytest.raises(UnoccludeError, match=r"mesh\.glb") as caught:
            client.fetch(job, tmp_path, ["mesh.glb"])
        assert caught.value.code == "not_found"


def test_submitting_again_is_harmless(backend) -> None:
    job = new_job_id()
    with backend.client() as client:
        for _ in range(3):
            assert client.submit(JobSpec(), b"steps=1", job=job) == job
        assert [info.job for info in client.jobs()].count(job) == 1
        with pytest.raises(UnoccludeError, match="belongs to another job") as caught:
            client.submit(JobSpec(seed=1), b"steps=1", job=job)
        assert caught.value.code == "conflict"


def test_cancel_is_felt_at_the_next_step(backend) -> None:
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=2000 pause=0.02")
        states = []
        for event in client.follow(job):
            states.append(event.state)
            if event.stage == "complete" and "cancelling" not in states:
                client.cancel(job)
        assert states[-1] == "cancelled"
        worker = backend.worker()
        # the worker lives on and takes the next job
        client.wait(client.submit(JobSpec(), b"steps=1"))
        assert backend.worker() == worker


def test_a_waiting_job_is_cancelled_at_once(backend) -> None:
    with backend.client() as client:
        busy = client.submit(JobSpec(), b"steps=2000 pause=0.02")
        waiting = client.submit(JobSpec(), b"steps=1")
        assert client.job(waiting).ahead == 1
        client.cancel(waiting)
        with pytest.raises(Cancelled):
            client.wait(waiting)
        assert client.job(busy).state in ("queued", "running")
        client.cancel(busy)
        with pytest.raises(Cancelled):
            client.wait(busy)


def test_a_deaf_worker_is_ended_by_force(backend) -> None:
    with backend.client() as client:
        job = client.submit(JobSpec(), b"deaf")
        for event in client.follow(job):
            if event.stage == "segment" and event.state == "running":
                client.cancel(job)
        assert event.state == "cancelled"
        client.wait(client.submit(JobSpec(), b"steps=1"))


@pytest.mark.parametrize(
    ("image", "code", "words"),
    [
        (b"raise", "input", "nothing at the point"),
        (b"fault", "internal", "by accident"),
        (b"memory", "out_of_memory", "memory"),
        (b"crash", "worker", "exit code 3, 2 times"),
        pytest.param(b"segfault", "worker", "signal 11", marks=pytest.mark.skipif(os.name != "posix", reason="POSIX")),
    ],
)
def test_a_job_that_cannot_be_done_fails_with_the_reason(backend, image: bytes, code: str, words: str) -> None:
    with backend.client() as client:
        job = client.submit(JobSpec(), image)
        with pytest.raises(UnoccludeError, match=words) as caught:
            client.wait(job)
        assert caught.value.code == code
        assert caught.value.cure
        assert client.job(job).state == "failed"
        client.wait(client.submit(JobSpec(), b"steps=1"))


def test_a_worker_that_crashed_once_is_replaced_and_the_job_done(backend) -> None:
    with backend.client() as client:
        states = [event.state for event in client.follow(client.submit(JobSpec(), b"crash-once"))]
        assert states[-1] == "done"
        assert states.count("queued") == 2


def test_a_client_that_was_away_goes_on_from_where_it_was(backend) -> None:
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=40 pause=0.02")
        seen: list[Event] = []
        for event in client.follow(job):
            seen.append(event)
            if event.stage == "complete":
                break
    with backend.client() as another:
        rest = list(another.follow(job, after=seen[-1].seq))
        again = list(another.follow(job, after=seen[-1].seq))
        assert list(another.follow(job, after=again[-1].seq)) == []
    assert rest[0].seq > seen[-1].seq
    assert rest[-1].state == "done"
    assert again[-1] == rest[-1]


def test_watch_lets_its_caller_look_around(backend) -> None:
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=1 pause=0.5")
        assert None in list(client.watch(job, tick=0.05))


def test_a_second_run_has_an_estimate(backend) -> None:
    image = b"steps=10 pause=0.02"
    with backend.client() as client:
        spec = JobSpec(samples=3)
        client.wait(client.submit(spec, image))
        etas = [event.eta for event in client.follow(client.submit(spec, image)) if event.stage == "complete"]
        assert etas
        assert all(eta is not None and 0 <= eta < 60 for eta in etas)
        other = client.submit(JobSpec(samples=2), image)
        assert all(event.eta is None for event in client.follow(other))


def test_bad_orders_are_refused_with_a_cure(backend) -> None:
    with backend.client() as client:
        with pytest.raises(InputError, match="samples"):
            client.submit(JobSpec(samples=0), b"steps=1")
        with pytest.raises(InputError, match="0 bytes"):
            client.submit(JobSpec(), b"")
        for ask in (client.job, client.cancel, client.wait):
            with pytest.raises(UnoccludeError, match="no job") as caught:
                ask(new_job_id())
            assert caught.value.code == "not_found"
            assert caught.value.cure


def test_a_store_that_fails_is_said_and_survived(new_backend) -> None:
    backend = new_backend().start()
    blobs = backend.home / "blobs"
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=1")
        client.wait(job)
        blobs.rename(backend.home / "away")
        blobs.write_text("in the way")
        with pytest.raises(UnoccludeError, match="store failed") as caught:
            client.submit(JobSpec(), b"steps=2")
        assert caught.value.code == "storage"
        blobs.unlink()
        (backend.home / "away").rename(blobs)
        client.wait(client.submit(JobSpec(), b"steps=2"))
        assert client.job(job).artifacts


def test_the_queue_is_bounded(new_backend) -> None:
    backend = new_backend().start()
    with backend.client() as client:
        limit = client.hello()["limits"]["queue"]
        busy = client.submit(JobSpec(), b"steps=2000 pause=0.02")
        while client.job(busy).state != "running":
            time.sleep(0.02)
        for _ in range(limit):
            client.submit(JobSpec(), b"steps=1")
        with pytest.raises(UnoccludeError, match="waiting already") as caught:
            client.submit(JobSpec(), b"steps=1")
        assert caught.value.code == "full"
        assert client.status().queued == limit
        assert len(client.jobs(100)) == limit + 1
