"""The add-on's logic that needs no Blender: importable, and tested, without `bpy`."""
