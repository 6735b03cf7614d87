"""Install the add-on, if one is named, for good, so that the next Blender of this user has it; and no splash screen."""

import sys
from pathlib import Path

import bpy
from support import arguments, install

if "--" in sys.argv:
    install(Path(arguments()[0]))
bpy.context.preferences.view.show_splash = False
bpy.ops.wm.save_userpref()
