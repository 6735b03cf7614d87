"""The artist looks at the completions, has them made anew, chooses one, and later another one."""

import json
from pathlib import Path

import bpy
from support import arguments, choose, install, part, phase, picture, pump

install(Path(arguments()[0]))
jobs = part("jobs")
settings = bpy.context.scene.unocclude
choose(picture(), 20, 30)
settings.review, settings.samples = True, 3


def wait_for(wanted: str) -> object:
    pump(lambda: phase() in {wanted, "FAILED"})
    assert jobs.session.job.error is None, jobs.session.job.error
    return jobs.session.job


def placed() -> list[dict]:
    """What the bodies in the scene tell of their jobs."""
    return [json.loads(body["unocclude"])["spec"] for body in bpy.data.objects if "unocclude" in body]


assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}
job = wait_for("CHOOSING")
assert [path.name for path in job.imagined.pictures] == ["completion_00.png", "completion_01.png", "completion_02.png"]
assert job.imagined.chosen == 0
assert job.imagined.rectangles, "no outline to draw"
assert placed() == []

assert bpy.ops.unocclude.sample_again() == {"FINISHED"}
again = wait_for("CHOOSING")
assert (again.spec.seed, settings.seed) == (1, 1)

assert bpy.ops.unocclude.choose(number=2) == {"FINISHED"}
wait_for("PLACED")
(spec,) = placed()
assert (spec["choose"], spec["to"], spec["seed"]) == (2, "mesh", 1), "the seed is kept"

assert bpy.ops.unocclude.choose(number=1) == {"FINISHED"}, "another one after all"
wait_for("PLACED")
assert sorted(spec["choose"] for spec in placed()) == [1, 2]

bpy.data.images.remove(settings.image)
try:
    bpy.ops.unocclude.choose(number=0)
    refused = ""
except RuntimeError as error:
    refused = str(error)
assert "no longer in this file" in refused
