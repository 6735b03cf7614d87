"""Many small jobs one after the other: does anything grow? And how quick is the broker?

    python benchmarks/faults/soak.py --jobs 2000

Prints memory and file descriptors of the broker and of the worker after the first tenth of the jobs and at the end,
the round trip of an empty request, the time until a picture of 3840 x 2160 pixels is acknowledged, and the broker's own
time per job. With `--bundled`, also the broker's share of a job with the bundled models. Needs /proc, so Linux.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests" / "faults")]

from backend_process import Backend  # noqa: E402
from processes import children, command, cpu_seconds, descriptors, memory  # noqa: E402
from unocclude.client import Client  # noqa: E402
from unocclude.protocol import JobSpec, Prompt  # noqa: E402
from unocclude.server.commands import DEFAULT_RUNNER  # noqa: E402

ROUND_TRIPS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--bundled", action="store_true", help="also a job with the bundled models")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        backend = Backend(Path(home)).start()
        assert backend.process is not None
        broker = backend.process.pid
        with backend.client() as client:
            trips = sorted(timed(client.ping) for _ in range(ROUND_TRIPS))
            slow = trips[-ROUND_TRIPS // 100]
            print(f"{'empty request':<28}{statistics.median(trips):.2f} ms median, {slow:.2f} ms p99")
            picture = photograph(3840, 2160)
            others = [picture + bytes([number]) for number in range(5)]  # what was sent before does not travel again
            acknowledged = [timed(partial(client.submit, JobSpec(), b"steps=1", mask=other)) for other in others]
            print(
                f"{f'{len(picture) / 1e6:.1f} MB acknowledged':<28}{statistics.median(acknowledged):.0f} ms median of 5"
            )
            soak(client, broker, options.jobs)
        backend.stop()
    if options.bundled:
        bundled_job()


def soak(client: Client, broker: int, count: int) -> None:
    before: dict[str, tuple[int, int]] = {}
    used = began = 0.0
    for number in range(count):
        client.wait(client.submit(JobSpec(seed=number), b"steps=3"))
        if number + 1 == count // 10:
            before = taken(broker)
            used, began = cpu_seconds(broker), time.monotonic()
    rest = count - count // 10
    print(f"{'jobs':<28}{count}, {1000 * (time.monotonic() - began) / rest:.0f} ms each")
    print(f"{'broker, own time per job':<28}{1000 * (cpu_seconds(broker) - used) / rest:.1f} ms")
    for name, (kib, open_files) in taken(broker).items():
        growth = 100 * (kib / before[name][0] - 1)
        print(
            f"{name:<28}{before[name][0]} to {kib} KiB ({growth:+.1f} %), {before[name][1]} to {open_files} descriptors"
        )


def bundled_job() -> None:
    """One job as it is by default, watched by a client, in a backend that has just been started."""
    sample = resources.files("unocclude") / "bundled"
    x, y = json.loads((sample / "sample.json").read_text())["points"][0]
    with tempfile.TemporaryDirectory() as home:
        backend = Backend(Path(home), DEFAULT_RUNNER).start()
        assert backend.process is not None
        broker = backend.process.pid
        with backend.client() as client:
            while client.status().workers[0].state != "idle":
                time.sleep(0.1)
            (worker,) = (pid for pid in children(broker) if "server.worker" in command(pid))
            before = {pid: cpu_seconds(pid) for pid in (broker, worker)}
            spec = JobSpec(prompt=Prompt(points=((x, y),)), device="cpu")
            client.wait(client.submit(spec, (sample / "sample.png").read_bytes()))
            own, work = (cpu_seconds(pid) - before[pid] for pid in (broker, worker))
        backend.stop()
    print(f"{'bundled job':<28}{work:.1f} s of processor time")
    print(f"{'broker, own time':<28}{own:.2f} s, {100 * own / work:.2f} % of that")


def taken(broker: int) -> dict[str, tuple[int, int]]:
    """KiB and descriptors of the broker and its worker."""
    (worker,) = (pid for pid in children(broker) if "server.worker" in command(pid))
    return {name: (memory(pid), descriptors(pid)) for name, pid in (("broker", broker), ("worker", worker))}


def timed(action: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


def photograph(width: int, height: int) -> bytes:
    """A JPEG of about the size that a camera's has."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


if __name__ == "__main__":
    main()
