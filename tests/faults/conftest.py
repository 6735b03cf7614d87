"""Real backends for the fault tests: real processes, real sockets, a stand-in for the pipeline."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unocclude.client import Client
from unocclude.connection import Connection


class Backend:
    """A backend process with a home folder of its own."""

    def __init__(
        self, home: Path, runner: str = "fake_pipeline:run_job", segmenter: str = "fake_segmenter:embed"
    ) -> None:
        self.home = home
        self.runner = runner
        self.segmenter = segmenter
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Backend:
        """Start it and wait until it answers."""
        self.process = self.spawn()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            if Connection.path(self.home).exists() and Connection.load(self.home).pid == self.process.pid:
                return self
            time.sleep(0.02)
        raise AssertionError(f"the backend did not come up: {self.process.poll()}")

    def spawn(self, *options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "unocclude.server",
                "--runner",
                self.runner,
                "--segmenter",
                self.segmenter,
                *options,
            ],
            env={
                **os.environ,
                "UNOCCLUDE_HOME": str(self.home),
                "PYTHONPATH": str(Path(__file__).parent),
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def kill(self) -> None:
        """As the system would: without a warning."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(120)

    def client(self, timeout: float = 60, patience: float = 60) -> Client:
        return Client(self.home, timeout=timeout, patience=patience)

    def worker(self) -> int:
        """The process that runs, or ran, the newest job."""
        return int((self.home / "worker.pid").read_text())


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One that the tests of a module share and leave alive."""
    made = Backend(tmp_path_factory.mktemp("home")).start()
    yield made
    made.stop()


@pytest.fixture
def new_backend(tmp_path: Path) -> Iterator[Callable[..., Backend]]:
    """Makes one that a test may kill."""
    made: list[Backend] = []

    def make(**runners: str) -> Backend:
        made.append(Backend(tmp_path / "home", **runners))
        return made[-1]

    yield make
    for one in made:
        one.stop()
