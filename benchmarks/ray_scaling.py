"""How much faster two Ray workers are than one, side by side on this machine, with one thread each.

    pip install '.[ray]'
    python benchmarks/ray_scaling.py --images 12

Runs `unocclude batch --engine ray` on variants of the bundled sample, up to the completion, with one worker and with
two. What counts is the time from the moment when every worker has finished its first image, so without Ray's start,
the imports and the loading of the models. Needs two idle cores; prints how busy the machine was otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from importlib import resources
from pathlib import Path

from PIL import Image
from unocclude.batch import Item, Work
from unocclude.batch_ray import on_ray
from unocclude.protocol import JobSpec, Prompt

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


def seconds_per_image(workers: int, count: int) -> float:
    """Of all workers together, once each has begun its second image."""
    with tempfile.TemporaryDirectory() as folder:
        ends = []
        for work, error in on_ray("bundled", "cpu", None, workers)(make_work(Path(folder), count)):
            assert error is None, f"{work.item.name}: {error}"
            ends.append(time.monotonic())
    return (ends[-1] - ends[workers - 1]) / (count - workers)


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
    one, two = (seconds_per_image(workers, options.images) for workers in (1, 2))
    print(f"one worker  {one:.2f} s for each image")
    print(f"two workers {two:.2f} s for each image")
    print(f"ratio       {one / two:.2f}")


if __name__ == "__main__":
    main()
