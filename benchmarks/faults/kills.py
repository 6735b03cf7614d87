"""Kill clients, brokers and workers at random moments, and count what was lost.

    python benchmarks/faults/kills.py --kills 1000 --seed 0
    python benchmarks/faults/kills.py --kills 20 --real

A client hands in jobs all the time. Again and again one process is chosen and killed without a warning: the client, the
broker, or the worker; the first two are started again, the worker by its broker. At the end every job that was ever
acknowledged is waited for and its files are compared with what they must be. Needs /proc, so Linux.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from importlib import resources
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests" / "faults")]

from backend_process import Backend  # noqa: E402
from processes import children, command  # noqa: E402
from staged_pipeline import results  # noqa: E402
from unocclude.client import Client  # noqa: E402
from unocclude.errors import ServerUnavailableError, UnoccludeError  # noqa: E402
from unocclude.protocol import FINAL_STATES, STAGES, Artifact, JobSpec, Prompt  # noqa: E402
from unocclude.server.commands import DEFAULT_RUNNER  # noqa: E402

VICTIMS = ("client", "broker", "worker")
FEW_WAITING = 6
WAITING_SHARE = 0.75
"""Of the kills come when a worker is ready, so that jobs get anywhere; the others come at any moment."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=math.inf, help="kill no longer than that")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", action="store_true", help="the bundled models instead of quick stages")
    parser.add_argument("--devices", type=int, default=1, help="so many workers side by side")
    parser.add_argument("--home", type=Path, help="default: a temporary folder")
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        submit_for_ever(options.home, options.real)
    with tempfile.TemporaryDirectory() as temporary:
        killer = Killer(options.home or Path(temporary), options.real, options.seed, options.devices)
        return killer.run(options.kills, 60 * options.minutes)


def order(number: int, real: bool) -> tuple[JobSpec, bytes]:
    """The job of this number. Several have the same image, so that their segmentation is shared; two real ones have the
    same seed as well, so that there is always work to do and always something to compare."""
    if real:
        sample = resources.files("unocclude") / "bundled"
        x, y = json.loads((sample / "sample.json").read_text())["points"][0]
        spec = JobSpec(prompt=Prompt(points=((x, y),)), samples=1, preset="fast", seed=number // 2, device="cpu")
        return spec, (sample / "sample.png").read_bytes()
    return JobSpec(seed=number), b"0.%02d" % (4 + number // 3 % 20)


def submit_for_ever(home: Path, real: bool) -> None:
    """The client process. What it was not told to be accepted is handed in again, under the same id."""
    accepted = home / "accepted.txt"
    with Client(home, timeout=60, patience=60) as client, accepted.open("a") as told:
        number = len(lines(accepted))
        while True:
            try:
                if client.status().queued < FEW_WAITING:
                    job = client.submit(*order(number, real), job=f"{number:032x}")
                    print(job, file=told, flush=True)
                    number += 1
            except ServerUnavailableError:
                pass  # it was killed, and is being started again
            time.sleep(0.05)


def lines(path: Path) -> list[str]:
    """The whole lines of a file that a killed process wrote."""
    return [line for line in path.read_text().split("\n")[:-1] if line] if path.exists() else []


class Killer:
    def __init__(self, home: Path, real: bool, seed: int, devices: int) -> None:
        self.home = home
        self.real = real
        self.random = random.Random(seed)
        runner = DEFAULT_RUNNER if real else "staged_pipeline:run_job"
        self.backend = Backend(home, runner, path=HERE, devices=["cpu"] * devices)
        self.killed: Counter[str] = Counter()
        self.inodes: dict[Path, int] = {}
        self.rewritten = 0
        self.first: dict[tuple[int, str], bytes] = {}

    def run(self, kills: int, seconds: float) -> int:
        began = time.monotonic()
        self.backend.start()
        client = self.start_client()
        longest = 30.0 if self.real else 0.8
        while sum(self.killed.values()) < kills and time.monotonic() - began < seconds:
            if self.random.random() < WAITING_SHARE:
                self.wait_for_worker()
            time.sleep(self.random.uniform(0, longest))
            victim = self.random.choice(VICTIMS)
            if victim == "client":
                client.kill()
                client.wait()
                client = self.start_client()
            elif victim == "broker":
                self.backend.kill()
                self.backend.start()
            elif not self.kill_worker():
                continue
            self.killed[victim] += 1
            self.look_at_stages()
        client.kill()
        client.wait()
        bad = self.report(began)
        self.backend.stop()
        return 1 if bad else 0

    def wait_for_worker(self) -> None:
        with self.backend.client() as client:
            while not all(worker.state in ("idle", "busy") for worker in client.status().workers):
                time.sleep(0.02)

    def start_client(self) -> subprocess.Popen[bytes]:
        options = ["--client", "--home", str(self.home), *(["--real"] if self.real else [])]
        return subprocess.Popen([sys.executable, __file__, *options])

    def kill_worker(self) -> bool:
        """Whether there was one to kill: a child of the broker."""
        assert self.backend.process is not None
        found = children(self.backend.process.pid)
        self.random.shuffle(found)
        for child in found:
            with suppress(OSError):
                if "unocclude.server.worker" in command(child):
                    os.kill(child, signal.SIGKILL)
                    return True
        return False

    def look_at_stages(self) -> None:
        """A kept result that is written again has another inode."""
        for path in (self.home / "stages").glob("*/*"):
            with suppress(OSError):
                if not path.name.endswith(".draft"):
                    inode = path.stat().st_ino
                    self.rewritten += self.inodes.setdefault(path, inode) != inode
                    self.inodes[path] = inode

    def report(self, began: float) -> bool:
        """Wait for every accepted job, print the table; whether anything in it is bad."""
        ends: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        lost = corrupt = files = 0
        accepted = lines(self.home / "accepted.txt")
        with self.backend.client(timeout=600, patience=600) as client:
            for job in accepted:
                try:
                    for _ in client.follow(job):
                        pass
                    info = client.job(job)
                except UnoccludeError as error:
                    lost += 1
                    print(f"lost: {job}: {error}")
                    continue
                lost += info.state not in FINAL_STATES
                ends[info.state] += 1
                if info.error is not None:
                    errors[info.error.code] += 1
                for artifact in info.artifacts if info.state == "done" else ():
                    files += 1
                    corrupt += not self.whole(client, job, artifact)
                if info.state == "done" and not self.real and len(info.artifacts) != len(STAGES):
                    corrupt += 1
        self.look_at_stages()
        again = self.run_again() + self.rewritten
        print(f"{'killed':<34}{sum(self.killed.values())}: {dict(sorted(self.killed.items()))}")
        print(f"{'jobs accepted':<34}{len(accepted)}")
        print(f"{'ended':<34}{dict(sorted(ends.items()))}; errors: {dict(errors)}")
        print(f"{'accepted jobs lost':<34}{lost}")
        print(f"{'stage results kept':<34}{len(self.inodes)}")
        print(f"{'finished stages run again':<34}{again}")
        print(f"{'files read back':<34}{files}")
        print(f"{'corrupt artifacts':<34}{corrupt}")
        print(f"{'seconds':<34}{time.monotonic() - began:.0f}")
        return bool(lost or again or corrupt)

    def whole(self, client: Client, job: str, artifact: Artifact) -> bool:
        """Whether a file came with its checksum and the right content: the same as other jobs with these inputs have,
        where stages are real."""
        try:
            data = client.read(job, artifact)
        except UnoccludeError as error:
            print(f"corrupt: {job}: {error}")
            return False
        spec, image = order(int(job, 16), self.real)
        if self.real:
            return artifact.name == "report.json" or self.first.setdefault((spec.seed, artifact.name), data) == data
        stage = STAGES.index(artifact.name.removesuffix(".bin"))  # type: ignore[arg-type]
        return data == results(spec, image)[stage].tobytes()

    def run_again(self) -> int:
        """Stages that began after their result had been kept."""
        kept: set[str] = set()
        again = 0
        for line in lines(self.home / "stages.log"):
            event, _, key = line.partition(" ")
            again += event == "begin" and key in kept
            kept |= {key} if event == "kept" else set()
        return again


if __name__ == "__main__":
    sys.exit(main())
