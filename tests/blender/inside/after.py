"""Another Blender finds the jobs of the one before."""

from pathlib import Path

import bpy
from support import arguments, install, part, phase, pump

install(Path(arguments()[0]))
jobs = part("jobs")
bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
assert bpy.ops.unocclude.list_jobs() == {"FINISHED"}
pump(lambda: jobs.session.listed is not None)
listed = jobs.session.listed
assert listed.error is None, listed.error
running, done = listed.jobs
assert (running.spec.seed, done.spec.seed, done.state) == (1, 0, "done")
assert listed.pictures[done.job].exists()

for info in (running, done):
    assert bpy.ops.unocclude.attach(job=info.job) == {"FINISHED"}
    pump(lambda: phase() in {"PLACED", "FAILED"})
    assert jobs.session.job.error is None, jobs.session.job.error
    assert jobs.session.job.id == info.job
assert len([body for body in bpy.data.objects if body.type == "MESH"]) == 2
