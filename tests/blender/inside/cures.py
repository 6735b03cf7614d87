"""Each error has its buttons, all of them operators that exist; the report says what happened."""

from pathlib import Path

import bpy
from support import arguments, choose, install, part, phase, picture, pump

FAILING = 3  # see scripted_backend.py
install(Path(arguments()[0]))
cures = part("cures")
for buttons in cures._BUTTONS.values():
    for name, _ in buttons:
        group, operator = name.split(".")
        assert operator in dir(getattr(bpy.ops, group)), name

choose(picture(), 20, 30, FAILING)
bpy.ops.unocclude.reconstruct()
pump(lambda: phase() == "FAILED")
told = part("core.diagnostics").report(cures.facts())
assert "input: There is nothing at the point." in told
assert bpy.app.version_string in told
assert "[20.0, 30.0]" not in told, "where the artist clicked is nobody's business"
assert bpy.ops.unocclude.copy_diagnostics() == {"FINISHED"}

settings = bpy.context.scene.unocclude
assert bpy.ops.unocclude.make_faster() == {"FINISHED"}
assert (settings.preset, settings.samples) == ("fast", 1)
assert part("jobs").session.job.spec.preset == "fast"
