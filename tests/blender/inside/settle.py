"""Install the add-on for good, so that the next Blender of this user has it."""

from pathlib import Path

import bpy
from support import arguments, install

install(Path(arguments()[0]))
bpy.context.preferences.view.show_splash = False
bpy.ops.wm.save_userpref()
