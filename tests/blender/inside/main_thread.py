"""Time everything of the add-on that runs on Blender's main thread."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import bpy
from support import arguments, choose, install, part, phase, picture

LARGE = 4  # see scripted_backend.py
install(Path(arguments()[0]))
jobs, mask_view, cures = part("jobs"), part("mask_view"), part("cures")
times: dict[str, list[float]] = defaultdict(list)


def timed(what: str, work: Callable) -> object:
    began = time.perf_counter()
    result = work()
    times[what].append(1000 * (time.perf_counter() - began))
    return result


def tick() -> None:
    before = phase()
    began = time.perf_counter()
    jobs.tick()
    arrived = before != phase() == "PLACED"
    times["tick that brings the mesh in" if arrived else "tick"].append(1000 * (time.perf_counter() - began))
    job = jobs.session.job
    if job is not None and job.preview is not None:
        timed("preview", lambda: part("thumbnail").icon_of(job.preview))


image = picture("photograph.png", 640, 480)
bpy.context.scene.unocclude.image = image
timed("get ready for clicks", lambda: mask_view.get_ready(bpy.context, image))
for x in range(30):
    choose(image, 20 * x, 200, LARGE)
    began = time.perf_counter()
    timed("notice a click", lambda: mask_view.see(image))
    while timed("tick for masks", mask_view.tick) is not None:
        time.sleep(0.005)
    times["from click to mask (waiting included)"].append(1000 * (time.perf_counter() - began))

timed("operator reconstruct", bpy.ops.unocclude.reconstruct)
while phase() != "PLACED" or jobs.session.expects_news:
    tick()
    assert phase() != "FAILED", jobs.session.job.error
    time.sleep(0.05)
timed("operator undo", bpy.ops.ed.undo)
timed("operator list jobs", bpy.ops.unocclude.list_jobs)
timed("operator copy diagnostics", bpy.ops.unocclude.copy_diagnostics)
bpy.context.scene.unocclude.seed = 2
timed("operator reconstruct", bpy.ops.unocclude.reconstruct)
timed("operator cancel", bpy.ops.unocclude.cancel)
for what, values in times.items():
    print(f"  {what:40} {len(values):5} x   median {statistics.median(values):7.2f} ms   worst {max(values):7.2f} ms")
