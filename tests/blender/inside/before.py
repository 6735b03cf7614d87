"""One job is done, one still runs; then this Blender ends."""

from pathlib import Path

import bpy
from support import arguments, choose, install, phase, picture, pump

QUICK, STEADY = 0, 1  # see scripted_backend.py
install(Path(arguments()[0]))
choose(picture(), 20, 30, QUICK)
bpy.ops.unocclude.reconstruct()
pump(lambda: phase() == "PLACED")
bpy.context.scene.unocclude.seed = STEADY
bpy.ops.unocclude.reconstruct()
pump(lambda: phase() == "RUNNING")
bpy.ops.wm.save_userpref()
