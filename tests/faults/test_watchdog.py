"""A worker that hangs is told from one that is slow, by whether it works; one that leaks is replaced."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from unocclude.client import Client
from unocclude.errors import UnoccludeError
from unocclude.protocol import JobSpec
from unocclude.server import worker_process
from unocclude.server.broker import Broker
from unocclude.server.commands import DEFAULT_ENDPOINT
from unocclude.server.retention import Limits

IDLE = 8.0


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of a backend, in a thread, that gives an idle worker a few seconds and lets one grow a little."""
    monkeypatch.setattr(worker_process, "IDLE_LIMIT", IDLE)
    monkeypatch.setattr(worker_process, "MAX_GROWTH", 60 << 20)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    made: list[Broker] = []
    up = threading.Event()

    def serve() -> None:
        broker = Broker(tmp_path, DEFAULT_ENDPOINT, "fake_pipeline:run_job", "", Limits())
        broker.connection.save(tmp_path)
        made.append(broker)
        up.set()
        broker.run()
        broker.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert up.wait(60)
    yield tmp_path
    made[0].stop()
    thread.join()


def test_a_worker_that_works_may_be_silent_and_one_that_sleeps_may_not(impatient: Path) -> None:
    with Client(impatient, timeout=60) as client:
        client.wait(client.submit(JobSpec(), f"spin={2 * IDLE} steps=1".encode()))
        with pytest.raises(UnoccludeError, match="neither worked nor made progress") as caught:
            client.wait(client.submit(JobSpec(), b"deaf"))
        assert caught.value.code == "worker"
        client.wait(client.submit(JobSpec(), b"steps=1"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells simply how much memory a process keeps")
def test_a_worker_that_leaks_is_replaced_between_jobs(impatient: Path) -> None:
    with Client(impatient, timeout=60) as client:
        workers = []
        for leak in (0, 40, 40, 0, 40):
            client.wait(client.submit(JobSpec(), b"leak=%d" % leak))
            workers.append((impatient / "worker.pid").read_text())
        assert workers[0] == workers[1] == workers[2] != workers[3] == workers[4]
        metrics = client.metrics()
        assert (metrics["worker_starts"], metrics["worker_deaths"]) == (2, 0)
