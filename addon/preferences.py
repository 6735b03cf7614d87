"""The add-on's preferences: where the backend is."""

# Blender's properties are annotations that are no types.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

import bpy
from bpy.props import StringProperty
from bpy.types import AddonPreferences, Context


class UnoccludePreferences(AddonPreferences):
    bl_idname = __package__

    python: StringProperty(
        name="Backend's Python",
        description=(
            "The Python that has the backend installed, or the folder of its virtual environment. "
            "Empty: the unocclude command is looked for"
        ),
        subtype="FILE_PATH",
    )

    def draw(self, context: Context) -> None:
        self.layout.prop(self, "python")


def preferences() -> UnoccludePreferences:
    return bpy.context.preferences.addons[__package__].preferences


CLASSES = (UnoccludePreferences,)
