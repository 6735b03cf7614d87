"""The first click starts the backend, and its mask comes then."""

import time
from pathlib import Path

import bpy
from support import arguments, choose, install, part, picture

install(Path(arguments()[0]))
mask_view, jobs = part("mask_view"), part("jobs")
choose(picture(), 20, 30)
deadline = time.monotonic() + 120
mask_view.see(bpy.context.scene.unocclude.image)
started = False
while mask_view.tick() is not None:
    jobs.tick()
    started |= mask_view.view.starting
    assert time.monotonic() < deadline, vars(mask_view.view)
    time.sleep(0.02)
assert started
error = mask_view.view.error
assert mask_view.view.drawing.rectangles, error
assert error is None or error.code == "input", error
