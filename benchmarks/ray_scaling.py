"""How much faster two Ray workers are than one, side by side on this machine, with one thread each.

    pip install '.[ray]'
    python benchmarks/ray_scaling.py --images 12

Runs `unocclude batch --engine ray` on variants of the bundled sample, up to the completion, with one worker and with
two. What counts is the time from the moment when every worker has finished its first image, so without Ray's start,
the imports and the loading of the models. Needs Linux and two idle cores; prints how busy the machine was otherwise,
and the ratio that follows from the processor time alone, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from importlib import resources
from pathlib import Path

from PIL import Image
from unocclude.batch import Item, Work
from unocclude.batch_ray import on_ray
from unocclude.protocol import JobSpec, Prompt

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))

from processes import command, cpu_seconds

SAMPLE = Path(str(resources.files("unocclude") / "bundled" / "sample.png"))


def make_work(folder: Path, count: int) -> list[Work]:
    """Pictures that differ in one pixel, so that nothing is shared between them."""
    x, y = json.loads(SAMPLE.with_suffix(".json").read_text())["points"][0]
    prompt = Prompt(points=((x, y),))
    spec = JobSpec(prompt=prompt, samples=2, device="cpu", to="complete")
    work = []
    for number in range(count):
        image = folder / f"{number}.png"
        picture = Image.open(SAMPLE).convert("RGB")
        picture.putpixel((0, 0), (number, 0, 0))
        picture.save(image)
        work.append(Work(Item(str(number), image, prompt, None), spec, folder / str(number), folder / "stages"))
    return work


def seconds_per_image(workers: int, count: int) -> tuple[float, float]:
    """Of all workers together, once each has begun its second image: by the clock, and of processor time."""
    with tempfile.TemporaryDirectory() as folder:
        ends, used = [], []
        for work, error in on_ray("bundled", "cpu", None, workers)(make_work(Path(folder), count)):
            assert error is None, f"{work.item.name}: {error}"
            ends.append(time.monotonic())
            used.append(workers_cpu_seconds())
    rest = count - workers
    return (ends[-1] - ends[workers - 1]) / rest, (used[-1] - used[workers - 1]) / rest


def workers_cpu_seconds() -> float:
    """What Ray's workers have used so far."""
    total = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if command(int(process.name)).startswith("ray::"):
                total += cpu_seconds(int(process.name))
    return total


def busy_elsewhere() -> float:
    """How many processors other programs keep busy just now."""
    before = _busy_seconds()
    time.sleep(3)
    return (_busy_seconds() - before) / 3


def _busy_seconds() -> float:
    user, nice, system, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12)
    options = parser.parse_args()
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.update(RAY_worker_niceness="0")  # else its workers give way to whatever else the machine does
    print(f"busy with other programs: {busy_elsewhere():.1f} of {os.cpu_count()} processors")
    (one, one_used), (two, two_used) = (seconds_per_image(workers, options.images) for workers in (1, 2))
    print(f"one worker  {one:.2f} s for each image, {one_used:.2f} s of processor time")
    print(f"two workers {two:.2f} s for each image, {two_used:.2f} s of processor time")
    print(f"ratio       {one / two:.2f}; {2 * one_used / two_used:.2f} by processor time")


if __name__ == "__main__":
    main()
