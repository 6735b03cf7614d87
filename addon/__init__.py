"""Unocclude: click a half-hidden object in a picture, get the whole object as a textured mesh.

One code base for the classic add-on (Blender 3.4 and up) and the extension (Blender 4.2 and up). This file
imports nothing of Blender, so that `core` and `wire` can be used and tested without it.
"""

import sys

bl_info = {
    "name": "Unocclude",
    "author": "The Unocclude authors",
    "version": (0, 1, 0),
    "blender": (3, 4, 0),
    "location": "Image Editor and 3D View > Sidebar > Unocclude",
    "description": "Turn a half-hidden object in a picture into a whole textured mesh",
    "category": "Import-Export",
}


def register() -> None:
    from . import registration

    registration.register()


def unregister() -> None:
    from . import registration

    registration.unregister()
    _forget_modules()


def _forget_modules() -> None:
    """So that an update which is installed over this version runs without a restart of Blender."""
    for name in [name for name in sys.modules if name.startswith(f"{__name__}.")]:
        del sys.modules[name]
        globals().pop(name.removeprefix(f"{__name__}."), None)
