"""The artist looks at the completions, has them made anew, chooses one, later another one, has other views drawn, keeps
it all as images, paints over a completion and goes on from that."""

import json
from pathlib import Path

import bpy
from support import arguments, choose, install, part, phase, picture, pump

install(Path(arguments()[0]))
jobs = part("jobs")
settings = bpy.context.scene.unocclude
choose(picture(), 20, 30)
settings.review, settings.samples, settings.seed = True, 3, 10


def wait_for(wanted: str) -> object:
    pump(lambda: phase() in {wanted, "FAILED"})
    assert jobs.session.job.error is None, jobs.session.job.error
    return jobs.session.job


def folder(job: object) -> Path:
    return jobs._results() / job.id


def received(job: object, what: str) -> bytes:
    return (folder(job) / f"received_{what}").read_bytes()


def placed() -> list[dict]:
    """What the bodies in the scene tell of their jobs."""
    return [json.loads(body["unocclude"])["spec"] for body in bpy.data.objects if "unocclude" in body]


assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}
job = wait_for("CHOOSING")
assert [path.name for path in job.imagined.pictures] == ["completion_00.png", "completion_01.png", "completion_02.png"]
assert job.imagined.chosen == 0
assert job.imagined.drawing.edges, "no outline to draw"
assert placed() == []

assert bpy.ops.unocclude.sample_again() == {"FINISHED"}
again = wait_for("CHOOSING")
assert (again.spec.seed, settings.seed) == (11, 11)

assert bpy.ops.unocclude.choose(number=2) == {"FINISHED"}
wait_for("PLACED")
(spec,) = placed()
assert (spec["choose"], spec["to"], spec["seed"]) == (2, "mesh", 11), "the seed is kept"

assert bpy.ops.unocclude.choose(number=1) == {"FINISHED"}, "another one after all"
wait_for("PLACED")
assert sorted(spec["choose"] for spec in placed()) == [1, 2]

settings.preset = "fast"
assert bpy.ops.unocclude.draw_other_views() == {"FINISHED"}
other = wait_for("PLACED")
assert (other.spec.seed, other.spec.preset, other.spec.choose) == (12, "fast", None)
assert received(other, "completion") == again.completion(1).read_bytes(), "what was imagined is kept"
assert received(other, "mask") == (folder(again) / "visible_mask.png").read_bytes(), "so is the visible part"
assert [path.name for path in other.imagined.views] == [f"{number:03d}.png" for number in range(16)]
assert len(jobs.session.gallery.imagined.pictures) == 3, "the others are no longer there to choose from"

before = set(bpy.data.images)
assert bpy.ops.unocclude.keep_as_images() == {"FINISHED"}
kept = {image.name: image for image in set(bpy.data.images) - before}
assert {"cup completion 1", "cup visible mask", "cup whole mask", "cup view 00", "cup view 15"} <= set(kept)
assert all(image.packed_file for image in kept.values()), "they are not saved with the file"

assert bpy.ops.unocclude.paint_completion(number=0) == {"FINISHED"}
painting = bpy.data.images["cup painted completion"]
pixels = list(painting.pixels)
pixels[:4] = 1.0, 0.0, 0.0, 0.0  # a red pixel that is taken away, at the lower left
painting.pixels = pixels
painting.pack()
bpy.ops.wm.save_as_mainfile(filepath=str(Path(bpy.app.tempdir) / "painted.blend"))
bpy.ops.wm.open_mainfile(filepath=str(Path(bpy.app.tempdir) / "painted.blend"))
assert bpy.ops.unocclude.go_on_from_painting(image="cup painted completion") == {"FINISHED"}
painted = wait_for("PLACED")
sent = bpy.data.images.load(str(folder(painted) / "received_completion"))
assert sent.size[:] == (128, 128)
assert sent.pixels[3] == 0, "its alpha was lost"
assert sent.pixels[7] == 1

bpy.ops.unocclude.list_jobs()
pump(lambda: jobs.session.listed is not None and not jobs.session.expects_news)
given = {info.job: info.given for info in jobs.session.listed.jobs}
assert (given[painted.id], given[again.id]) == (True, False)
assert bpy.ops.unocclude.attach(job=painted.id) == {"FINISHED"}
wait_for("PLACED")
assert bpy.ops.unocclude.choose(number=0) == {"FINISHED"}, "the same completion in another quality"
further = wait_for("PLACED")
assert received(further, "completion") == received(painted, "completion"), "it was imagined anew"

settings = bpy.context.scene.unocclude
bpy.data.images.remove(settings.image)
try:
    bpy.ops.unocclude.choose(number=0)
    refused = ""
except RuntimeError as error:
    refused = str(error)
assert "no longer in this file" in refused
