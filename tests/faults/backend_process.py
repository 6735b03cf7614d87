"""A real backend in a process of its own, for tests and benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from unocclude.client import Client
from unocclude.connection import Connection


class Backend:
    """A backend process with a home folder of its own. `path` is where Python finds the runners, `prefix` the command
    that runs it, if any."""

    def __init__(
        self,
        home: Path,
        runner: str = "fake_pipeline:run_job",
        segmenter: str = "fake_segmenter:embed",
        path: Path = Path(__file__).parent,
        devices: Sequence[str] = ("auto",),
        prefix: Sequence[str] = (),
    ) -> None:
        self.home = home
        self.runner = runner
        self.segmenter = segmenter
        self.path = path
        self.devices = devices
        self.prefix = prefix
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
        runners = ["--runner", self.runner, "--segmenter", self.segmenter, "--devices", *self.devices]
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "unocclude.server", *runners, *options],
            env={
                **os.environ,
                "UNOCCLUDE_HOME": str(self.home),
                "PYTHONPATH": os.pathsep.join([str(self.path), os.environ.get("PYTHONPATH", "")]),
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
