"""Whatever dies, an accepted job ends in a result or in an honest error."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from unocclude.connection import Connection
from unocclude.errors import ServerUnavailableError, UnoccludeError
from unocclude.protocol import MAX_CHUNK, Event, JobSpec


def test_the_broker_is_killed_and_the_jobs_go_on(new_backend) -> None:
    backend = new_backend().start()
    with backend.client() as client:
        running = client.submit(JobSpec(), b"steps=60 pause=0.02")
        waiting = client.submit(JobSpec(), b"steps=2")
        events: list[Event] = []
        killed = False
        for event in client.follow(running):
            events.append(event)
            if event.stage == "complete" and not killed:
                backend.kill()
                backend.start()
                killed = True
        # the same client saw both lives, with numbers that kept rising
        states = [event.state for event in events]
        assert states.count("running") > 2
        assert states.count("queued") == 2
        assert states[-1] == "done"
        numbers = [event.seq for event in events]
        assert numbers == sorted(set(numbers))
        assert client.wait(waiting).state == "done"


def test_a_job_that_was_being_cancelled_is_cancelled_after_a_restart(new_backend) -> None:
    backend = new_backend().start()
    with backend.client() as client:
        job = client.submit(JobSpec(), b"deaf")
        for event in client.follow(job):
            if event.state == "cancelling":
                break
            if event.stage == "segment":
                client.cancel(job)
    backend.kill()
    backend.start()
    with backend.client() as client:
        assert client.job(job).state == "cancelled"


@pytest.mark.skipif(os.name != "posix", reason="only POSIX asks for a process without touching it")
def test_the_worker_ends_with_its_broker(new_backend) -> None:
    backend = new_backend().start()
    with backend.client() as client:
        job = client.submit(JobSpec(), b"deaf")
        next(event for event in client.follow(job) if event.stage == "segment")
    worker = backend.worker()
    backend.kill()
    deadline = time.monotonic() + 60
    while _lives(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _lives(worker)


def test_a_killed_worker_is_replaced(new_backend) -> None:
    backend = new_backend().start()
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=60 pause=0.02")
        killed = False
        for event in client.follow(job):
            if event.stage == "complete" and not killed:
                os.kill(backend.worker(), getattr(signal, "SIGKILL", signal.SIGTERM))
                killed = True
        assert event.state == "done"


def test_a_worker_that_cannot_start_fails_the_waiting_jobs(new_backend) -> None:
    backend = new_backend(runner="there_is_no_such_module:run_job").start()
    with backend.client() as client:
        with pytest.raises(UnoccludeError, match="there_is_no_such_module") as caught:
            client.wait(client.submit(JobSpec(), b"steps=1"))
        assert caught.value.code == "worker"


def test_a_large_picture_travels_in_parts_and_once(new_backend) -> None:
    backend = new_backend().start()
    picture = b"steps=1 " + random.Random(0).randbytes(3 * MAX_CHUNK).hex().encode()[: 3 * MAX_CHUNK]
    digest = hashlib.sha256(picture).hexdigest()
    with backend.client() as client:
        first = {"picture": digest, "size": len(picture), "offset": 0}
        assert client._request("upload", first, [picture[:MAX_CHUNK]]).fields["have"] == MAX_CHUNK
        backend.kill()
        backend.start()
        with pytest.raises(UnoccludeError, match="does not have this picture") as caught:
            client._request("segment", {"image": digest, "profile": "bundled", "prompt": None})
        assert caught.value.code == "not_found"
        for seed in range(2):
            job = client.submit(JobSpec(seed=seed), picture)
            client.wait(job)
            assert client.read(job, next(a for a in client.job(job).artifacts if a.name == "views/000.png")) == picture
        assert client.metrics()["requests"]["upload"] == 4


def test_an_orderly_stop_keeps_the_jobs(new_backend) -> None:
    backend = new_backend().start()
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=60 pause=0.02")
        next(event for event in client.follow(job) if event.stage == "complete")
        client.stop()
    assert backend.process.wait(120) == 0
    with backend.client() as client, pytest.raises(ServerUnavailableError, match="No backend is running"):
        client.ping()
    backend.start()
    with backend.client() as client:
        assert client.wait(job).state == "done"


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot stop a process for a while")
def test_a_stalled_backend_is_told_from_a_missing_one(new_backend) -> None:
    backend = new_backend().start()
    with backend.client() as client:
        client.ping()
        backend.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(ServerUnavailableError, match="has not answered for 1 s"):
                client._request("ping", timeout=1)
        finally:
            backend.process.send_signal(signal.SIGCONT)
    with backend.client() as client:
        client.ping()


def test_requests_outlast_a_restart(new_backend) -> None:
    backend = new_backend().start()
    with backend.client() as client:
        client.ping()
        backend.kill()
        restart = threading.Timer(0.5, backend.start)
        restart.start()
        assert client.status().queued == 0
        restart.join()


def test_a_client_that_vanishes_leaves_its_job_and_nothing_else(new_backend) -> None:
    backend = new_backend().start()
    job = "c" * 32
    code = """if True:
        import sys, time
        from pathlib import Path
        from unocclude.client import Client
        from unocclude.protocol import JobSpec
        client = Client(Path(sys.argv[1]), timeout=60)
        client.submit(JobSpec(), b"steps=150 pause=0.02", job=sys.argv[2])
        for event in client.follow(sys.argv[2]):
            print(event.stage, flush=True)
    """
    with backend.client() as client:
        process = subprocess.Popen([sys.executable, "-c", code, str(backend.home), job], stdout=subprocess.PIPE)
        assert process.stdout is not None
        while b"complete" not in process.stdout.readline():
            pass
        assert client.metrics()["following"] == 1
        process.kill()
        process.communicate()
        assert client.wait(job).state == "done"
        assert client.metrics()["following"] == 0


@pytest.mark.skipif(os.name != "posix", reason="Windows has other signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_signal_to_end_is_obeyed_in_order(new_backend, name: str) -> None:
    number = getattr(signal, name)
    ours = signal.signal(number, signal.SIG_DFL)  # what these tests ignore, under nohup, the backend would ignore too
    backend = new_backend().start()
    signal.signal(number, ours)
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=60 pause=0.02")
        next(event for event in client.follow(job) if event.stage == "complete")
        worker = backend.worker()
        backend.process.send_signal(number)
        assert backend.process.wait(120) == 0
        assert not Connection.path(backend.home).exists()
        assert not _lives(worker)
        backend.start()
        assert client.wait(job).state == "done"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that has ended stays listed until whoever inherited it takes note.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
