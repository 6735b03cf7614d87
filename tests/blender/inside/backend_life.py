"""Start and stop the backend from Blender, and what is said where that does not work."""

from pathlib import Path

import bpy
from support import arguments, choose, install, part, phase, picture, pump

dist, python = arguments()
install(Path(dist))
jobs = part("jobs")
preferences = part("preferences").preferences()


def answered() -> bool:
    return not jobs.session.expects_news


jobs.look_for_backend()
pump(answered)
assert jobs.session.backend_runs is False

preferences.python = "/nowhere/python"
choose(picture(), 20, 30)
assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}
pump(lambda: phase() == "FAILED")
assert "/nowhere/python" in jobs.session.job.error.message
assert "preferences" in jobs.session.job.error.cure
try:
    bpy.ops.unocclude.start_backend()
except RuntimeError as refused:
    reason = str(refused)
assert "/nowhere/python" in reason

preferences.python = python
assert bpy.ops.unocclude.start_backend() == {"FINISHED"}
pump(answered)
assert jobs.session.backend_error is None, jobs.session.backend_error
assert jobs.session.backend_runs
assert bpy.ops.unocclude.stop_backend() == {"FINISHED"}
pump(answered)
assert jobs.session.backend_runs is False

preferences.python = ""
home = part("wire.connection").home_folder()
assert part("core.backend").find_python("") == Path((home / "python.txt").read_text()), "the backend was not remembered"
