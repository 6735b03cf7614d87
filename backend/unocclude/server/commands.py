"""The commands around the backend, for people: serve, status, jobs, clients, stop. Each raises UnoccludeError."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from unocclude.client import Client
from unocclude.connection import PYTHON_NOTE, Connection, home_folder, write_private
from unocclude.errors import ServerUnavailableError
from unocclude.protocol import make_error
from unocclude.server.blobs import WORK_FOLDER
from unocclude.server.broker import Broker
from unocclude.server.clients import ClientBook
from unocclude.server.devices import check_devices, find_devices
from unocclude.server.lock import HomeLock
from unocclude.server.logs import log_to
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
    devices: Sequence[str] = (),
) -> None:
    """Run the backend in this process until it is stopped.

    `weights` is the folder of the official weights. `runner` is the `module:function` that a worker runs for each job,
    `segmenter` the one that the segmenter process runs for each image. `devices` get a worker each, by default every
    GPU, see devices.py.
    """
    devices = check_devices(devices) or find_devices()
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
        log_to(home / "server.log")
        shutil.rmtree(home / WORK_FOLDER, ignore_errors=True)  # what processes left that were killed
        broker = Broker(home, endpoint, runner, segmenter, limits, devices)
        try:
            stop_on_signals(broker.stop)
            broker.connection.save(home)
            write_private(home / PYTHON_NOTE, sys.executable)
            print(f"Serving at {broker.connection.endpoint}, home folder {home}. Stop with Ctrl-C.", flush=True)
            broker.run()
        finally:
            broker.close()
            Connection.path(home).unlink(missing_ok=True)
    finally:
        lock.release()


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call it when the terminal, the system or the user wants this process to end. What is ignored stays ignored, as
    under nohup."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):  # POSIX lacks the last one, Windows the one before
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: stop())


def status() -> None:
    """Print how the backend is."""
    with Client() as client:
        found = client.status()
    minutes, seconds = divmod(round(found.uptime), 60)
    print(f"Unocclude {found.server}, process {found.pid}, up for {minutes} min {seconds} s")
    for worker in found.workers:
        print(f"worker   {worker.device}: {worker.state}{f' with {worker.job}' if worker.job else ''}")
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


def metrics() -> None:
    """Print the backend's counts and sizes as JSON."""
    with Client() as client:
        print(json.dumps(client.metrics(), indent=2))


def list_clients() -> None:
    """Print who was paired."""
    found = ClientBook(home_folder()).paired()
    for client in found:
        print(f"{client.name:<40}  since {time.strftime('%Y-%m-%d', time.localtime(client.since))}")
    if not found:
        print("No paired clients.")


def pair_client(name: str, endpoint: str, out: Path) -> None:
    """Let another machine's client in. `out` is the file that it needs; whoever has that file is that client."""
    write_private(out, json.dumps(asdict(ClientBook(home_folder()).pair(name, endpoint))))
    print(f"Move {out} to that machine, as connection.json in its home folder of Unocclude. Keep no copy.")


def revoke_client(name: str) -> None:
    """Shut a paired client out."""
    ClientBook(home_folder()).revoke(name)
    print(f"{name} cannot come in any more.")


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
