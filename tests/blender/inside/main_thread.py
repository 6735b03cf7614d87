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
times: dict[str, list[tuple[float, float]]] = defaultdict(list)


def now() -> tuple[float, float]:
    """Milliseconds on the clock, and of the processor's work for this thread."""
    return 1000 * time.perf_counter(), 1000 * time.thread_time()


def note(what: str, began: tuple[float, float]) -> None:
    clock, work = now()
    times[what].append((clock - began[0], work - began[1]))


def timed(what: str, work: Callable) -> object:
    began = now()
    result = work()
    note(what, began)
    return result


def tick() -> None:
    before, began = phase(), now()
    jobs.tick()
    arrived = before != phase() == "PLACED"
    note("tick that brings the mesh in" if arrived else "tick", began)
    job = jobs.session.job
    if job is not None and job.preview is not None:
        timed("preview", lambda: part("thumbnail").icon_of(job.preview))


image = picture("photograph.png", 640, 480)
bpy.context.scene.unocclude.image = image
timed("get ready for clicks", lambda: mask_view.get_ready(bpy.context, image))
for x in range(30):
    choose(image, 20 * x, 200, LARGE)
    began = now()
    timed("notice a click", lambda: mask_view.see(image))
    while timed("tick for masks", mask_view.tick) is not None:
        time.sleep(0.005)
    note("from click to mask, waiting included", began)

bpy.ops.ed.undo_push(message="Ready")
before_the_job = {what: len(values) for what, values in times.items()}
timed("operator reconstruct", bpy.ops.unocclude.reconstruct)
steps = 0
while phase() != "PLACED" or jobs.session.expects_news:
    tick()
    steps += 1
    if steps % 10 == 0:  # the artist goes on
        timed("operator list jobs", bpy.ops.unocclude.list_jobs)
        timed("operator copy diagnostics", bpy.ops.unocclude.copy_diagnostics)
        stroke = image.unocclude.strokes.add()
        stroke.places, stroke.radius = f"{10 * steps % 640},20 {10 * steps % 640},400", 15
        timed("notice a stroke", lambda: mask_view.see(image))
        while timed("tick for masks", mask_view.tick) is not None:
            time.sleep(0.005)
    assert phase() != "FAILED", jobs.session.job.error
    time.sleep(0.05)
during = [values[before_the_job.get(what, 0) :] for what, values in times.items() if not what.startswith("from click")]
timed("operator undo", bpy.ops.ed.undo)
bpy.context.scene.unocclude.seed = 2
timed("operator reconstruct", bpy.ops.unocclude.reconstruct)
timed("operator cancel", bpy.ops.unocclude.cancel)


def told(values: list[tuple[float, float]]) -> str:
    clock, work = zip(*values, strict=True)
    return "   ".join(f"{statistics.median(kind):7.2f} {max(kind):7.2f}" for kind in (clock, work))


for what, values in times.items():
    print(f"  {what:38} {len(values):5} x   {told(values)}")
together = [value for values in during for value in values]
clock = [value for value, _ in together]
kept = statistics.median(clock) <= 20 and max(clock) <= 100
print(f"  {'all while a job runs':38} {len(together):5} x   {told(together)}   {'kept' if kept else 'NOT KEPT'}")
