"""Several jobs at once: they wait for their turn, one is taken out, one fails, and the file's end makes them stray."""

from pathlib import Path

import bpy
from support import arguments, choose, install, part, phase, picture, pump

QUICK, STEADY, ENDLESS, FAILING = 0, 1, 2, 3  # see scripted_backend.py
install(Path(arguments()[0]))
bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
session = part("jobs").session
settings = bpy.context.scene.unocclude


def order(name: str, seed: int) -> None:
    settings.image = None
    choose(picture(name), 20, 30, seed)
    assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}


def bodies() -> list[str]:
    return sorted(body.name for body in bpy.data.objects if body.type == "MESH")


for name, seed in (("first", STEADY), ("wrong", FAILING), ("out", QUICK), ("last", QUICK)):
    order(name, seed)
assert session.job.picture == "first"
assert [job.picture for job, _ in session.waiting] == ["wrong", "out", "last"]
(out,) = [job.id for job, _ in session.waiting if job.picture == "out"]
assert bpy.ops.unocclude.take_back(job=out) == {"FINISHED"}
pump(lambda: session.job.picture == "last" and phase() == "PLACED")
assert bodies() == ["first", "last"], bodies()
assert [job.picture for job in session.failed] == ["wrong"], "what went wrong is not told"
assert not session.waiting

settings.review = True
order("choice", QUICK)
settings.review = False
order("after", QUICK)
pump(lambda: phase() == "CHOOSING")
for _ in range(5):
    part("jobs").tick()
assert session.job.picture == "choice", "the next one does not push the choice aside"
assert bpy.ops.unocclude.choose(number=1) == {"FINISHED"}
assert session.job.picture == "choice"
pump(lambda: session.job.picture == "after" and phase() == "PLACED")
assert bodies() == ["after", "choice", "first", "last"]

order("long", STEADY)
order("next", QUICK)
bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
pump(lambda: phase() == "ARRIVED")
part("jobs").tick()
assert bodies() == []
assert session.waiting[0][0].strayed
assert bpy.ops.unocclude.dismiss() == {"FINISHED"}
pump(lambda: session.job is not None and session.job.picture == "next" and phase() == "ARRIVED")
assert bodies() == [], "ordered in another file"
