"""Time everything of the add-on that runs on Blender's main thread."""

import json
import random
import statistics
import time
from array import array
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import bpy
from support import arguments, choose, install, part, phase

LARGE = 4  # see scripted_backend.py
dist, photograph = map(Path, arguments())
install(dist)
jobs, mask_view, pictures = part("jobs"), part("mask_view"), part("picture")
places = json.loads(photograph.with_suffix(".json").read_text())["points"]
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


def wait_for_mask(what: str) -> None:
    while (pause := timed(what, mask_view.tick)) is not None:
        time.sleep(pause)


def click(image: bpy.types.Image, places: list[tuple[int, int]]) -> None:
    image.unocclude.points.clear()
    for x, y in places:
        choose(image, x, y, LARGE)
    began = now()
    timed("notice a click", lambda: mask_view.see(image))
    wait_for_mask("tick for masks")
    note("from click to mask, waiting included", began)
    assert mask_view.view.error is None, mask_view.view.error
    assert mask_view.view.drawing.rectangles


def written(image: bpy.types.Image) -> None:
    """What a window's timer does: without one, an image is written at once."""
    writing = timed(f"read an image of {image.size[0]} x {image.size[1]}", lambda: pictures.Writing(image))
    while timed("tick that writes a strip of it", writing.go_on):
        time.sleep(0.005)
    writing.file.result()


render = bpy.data.images.new("render", 3840, 2160, float_buffer=True)
render.pixels.foreach_set(array("f", [random.random() for _ in range(1 << 14)]) * (4 * 3840 * 2160 >> 14))
written(render)
bpy.data.images.remove(render)

image = bpy.data.images.load(str(photograph))
bpy.context.scene.unocclude.image = image
timed("get ready for clicks", lambda: mask_view.get_ready(bpy.context, image))
wait_for_mask("tick until it is ready")
for number in range(30):
    click(image, [(x + number // 5, y + number // 5) for x, y in places[: 1 + number % len(places)]])

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
        wait_for_mask("tick for masks")
    assert phase() != "FAILED", jobs.session.job.error
    time.sleep(0.05)
during = [values[before_the_job.get(what, 0) :] for what, values in times.items() if not what.startswith("from click")]
timed("operator keep as images", bpy.ops.unocclude.keep_as_images)
timed("operator paint completion", lambda: bpy.ops.unocclude.paint_completion(number=0))
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
