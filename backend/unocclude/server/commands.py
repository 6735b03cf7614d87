"""The commands around the backend, for people: serve, status, jobs, stop. Each raises UnoccludeError."""

from __future__ import annotations

import logging
import logging.handlers
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from unocclude.client import Client
from unocclude.connection import PYTHON_NOTE, Connection, home_folder, write_private
from unocclude.errors import ServerUnavailableError
from unocclude.protocol import make_error
from unocclude.server.broker import Broker
from unocclude.server.lock import HomeLock
from unocclude.server.retention import Limits

WEIGHTS = "UNOCCLUDE_WEIGHTS"
"""Environment variable: the folder of the official weights, for the workers. No client can name a folder."""
DEFAULT_ENDPOINT = "tcp://127.0.0.1:*"
DEFAULT_RUNNER = "unocclude.server.run_job:run_job"
DEFAULT_SEGMENTER = "unocclude.server.run_segment:embed"
DEFAULT_LIMITS = Limits()


def serve(
    endpoint: str = DEFAULT_ENDPOINT,
    weights: Path | None = None,
    runner: str = DEFAULT_RUNNER,
    segmenter: str = DEFAULT_SEGMENTER,
    home: Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Run the backend in this process until it is stopped.

    `weights` is the folder of the official weights. `runner` is the `module:function` that a worker runs for each job,
    `segmenter` the one that the segmenter process runs for each image.
    """
    if weights is not None:
        os.environ[WEIGHTS] = str(weights.absolute())
    os.umask(0o077)  # pictures and keys are the user's alone
    home = (home or home_folder()).absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = HomeLock(home)
    except OSError as error:
        raise make_error(
            "storage",
            f"The home folder {home} cannot be written ({error.strerror}).",
            "Make it writable, or set UNOCCLUDE_HOME to another folder.",
        ) from None
    try:
        _log_to(home / "server.log")
        shutil.rmtree(home / "work", ignore_errors=True)  # what processes left that were killed
        broker = Broker(home, endpoint, runner, segmenter, limits)
        try:
            for name in ("SIGINT", "SIGTERM", "SIGBREAK"):  # Windows has the last one
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), lambda *_: broker.stop())
            broker.connection.save(home)
            write_private(home / PYTHON_NOTE, sys.executable)
            print(f"Serving at {broker.connection.endpoint}, home folder {home}. Stop with Ctrl-C.", flush=True)
            broker.run()
        finally:
            broker.close()
            Connection.path(home).unlink(missing_ok=True)
    finally:
        lock.release()


def status() -> None:
    """Print how the backend is."""
    with Client() as client:
        found = client.status()
    minutes, seconds = divmod(round(found.uptime), 60)
    print(f"Unocclude {found.server}, process {found.pid}, up for {minutes} min {seconds} s")
    print(f"worker   {found.worker}")
    print(f"running  {found.running or 'nothing'}")
    print(f"waiting  {found.queued}")


def jobs(limit: int = 20) -> None:
    """Print the newest jobs."""
    with Client() as client:
        found = client.jobs(limit)
    for info in found:
        created = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(info.created))
        took = f"{info.ended - info.started:.0f} s" if info.ended and info.started else ""
        print(f"{info.job}  {created}  {info.state:<10} {took:>7}  {info.error or ''}".rstrip())
    if not found:
        print("No jobs yet.")


def stop(patience: float = 20.0) -> None:
    """End the backend and wait until it is gone. Its unfinished jobs go on at the next start."""
    home = home_folder()
    with Client(home) as client:
        client.stop()
    deadline = time.monotonic() + patience
    while Connection.path(home).exists():
        if time.monotonic() > deadline:
            raise ServerUnavailableError(
                f"The backend has not ended within {patience:g} s.", "Look at its log, or end its process."
            )
        time.sleep(0.05)
    print("Stopped.")


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=2_000_000, backupCount=3, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("unocclude")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
