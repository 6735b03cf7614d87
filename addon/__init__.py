"""Unocclude: click a half-hidden object in a picture, get the whole object as a textured mesh.

One code base for the classic add-on (Blender 3.4 and up) and the extension (Blender 4.2 and up). This file
imports nothing of Blender, so that `core` and `wire` can be used and tested without it.
"""

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
