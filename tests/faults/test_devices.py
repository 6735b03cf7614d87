"""Several devices: a worker for each, so that jobs run beside one another, and clicks are answered all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from unocclude.errors import InputError
from unocclude.protocol import JobSpec, Prompt
from unocclude.server import devices

LONG = b"steps=100000 pause=0.02"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_devices_work_side_by_side(new_backend) -> None:
    backend = new_backend(devices=("cpu", "cpu")).start()
    with backend.client() as client:
        jobs = [client.submit(JobSpec(seed=seed), LONG) for seed in range(2)]
        waiting = client.submit(JobSpec(), b"steps=1")
        for job in jobs:
            next(event for event in client.follow(job) if event.stage == "complete")
        assert [(worker.device, worker.state) for worker in client.status().workers] == [("cpu", "busy")] * 2
        assert {worker.job for worker in client.status().workers} == set(jobs)
        assert client.job(waiting).state == "queued"
        assert client.segment(b"beside", Prompt(points=((7.0, 0.0),))).mask

        # One worker dies: its job runs again, the other one's goes on as if nothing had happened.
        first, second = (client.job(job) for job in jobs)
        os.kill(int((backend.home / "worker.pid").read_text()), signal.SIGKILL)
        started = {job: client.job(job).started for job in jobs}
        died = begun_again(client, {first.job: first.started, second.job: second.started})
        (untouched,) = set(jobs) - {died}
        assert client.job(untouched).started == started[untouched]
        assert client.metrics()["worker_deaths"] == 1

        # A place that becomes free is taken by the job that waits.
        client.cancel(untouched)
        assert client.wait(waiting).state == "done"
        assert client.job(died).state == "running"
        assert (backend.home / "worker-2.log").exists()


def begun_again(client, started: dict[str, float | None]) -> str:
    """Wait until one of the jobs, which began at these times, runs again; return which."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for job in started:
            info = client.job(job)
            if info.state == "running" and info.started != started[job]:
                return job
        time.sleep(0.02)
    raise AssertionError("no job was begun again")


def nvidia_smi(said: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda *args, **options: subprocess.CompletedProcess(args, 0, said, "")


@pytest.mark.parametrize(
    ("said", "visible", "found"),
    [
        ("0\n1\n2\n", None, ("cuda:0", "cuda:1", "cuda:2")),
        ("0\n", None, ("auto",)),
        ("", None, ("auto",)),
        ("0\n1\n2\n", "2, 0", ("cuda:2", "cuda:0")),
        ("0\n1\n2\n", "1", ("auto",)),
        ("0\n1\n2\n", "", ("auto",)),
    ],
)
def test_every_gpu_that_the_user_shows_gets_a_worker(
    monkeypatch: pytest.MonkeyPatch, said: str, visible: str | None, found: tuple[str, ...]
) -> None:
    monkeypatch.setattr(subprocess, "run", nvidia_smi(said))
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    if visible is not None:
        monkeypatch.setenv(devices.VISIBLE, visible)
    assert devices.find_devices() == found


def test_without_the_driver_there_is_one_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.find_devices() == ("auto",)


def test_a_worker_on_a_gpu_sees_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    assert devices.surroundings("cuda:3") == {devices.VISIBLE: "3", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert devices.surroundings("auto") == devices.surroundings("cpu") == {}


def test_devices_that_are_none_are_refused() -> None:
    assert devices.check_devices(["cpu", "cuda:10"]) == ("cpu", "cuda:10")
    for device in ("gpu", "cuda", "cuda:", "cuda:1;rm"):
        with pytest.raises(InputError, match="no device"):
            devices.check_devices([device])
