"""The add-on's preferences: the backend and how to install it."""

# Blender's properties are annotations that are no types.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy.types import AddonPreferences, Context


def _use_backend(_: UnoccludePreferences, __: Context) -> None:
    from . import jobs, mask_view  # they read these preferences

    jobs.use_backend()
    mask_view.use_backend()


class UnoccludePreferences(AddonPreferences):
    bl_idname = __package__

    build: EnumProperty(
        name="Graphics Card",
        description="Which build of torch the backend is installed with",
        items=[
            ("auto", "Find Out", "By the drivers on this machine"),
            ("cuda", "NVIDIA", "CUDA"),
            ("rocm", "AMD", "ROCm, on Linux"),
            ("cpu", "None", "The processor does all the work; the bundled models are made for that"),
            ("default", "Apple", "Metal"),
        ],
    )
    packages: StringProperty(
        name="Packages",
        description="Folder of Python wheels to install from, without any network. Empty: they are downloaded",
        subtype="DIR_PATH",
    )
    index: StringProperty(
        name="torch From",
        description="Package index that has torch for this graphics card. Empty: PyTorch's own",
    )
    mirror: StringProperty(
        name="Models From",
        description="Address of a folder that has the official models' files. Empty: where their authors publish them",
    )
    python: StringProperty(
        name="Backend's Python",
        description=(
            "The Python that has the backend installed, or the folder of its virtual environment, "
            "to use in place of the one installed above. Empty: what is found on this machine"
        ),
        subtype="FILE_PATH",
    )

    connection: StringProperty(
        name="Other Machine's Backend",
        description=(
            "The connection file that `unocclude clients pair` made on another machine, to use that one's backend. "
            "Empty: this machine's own"
        ),
        subtype="FILE_PATH",
        update=_use_backend,
    )

    def draw(self, context: Context) -> None:
        from . import installation, models  # their operators read these preferences

        layout = self.layout
        installation.draw(layout.box(), context)
        models.draw(layout.box(), context)
        column = layout.column()
        column.use_property_split = True
        column.prop(self, "build")
        column.prop(self, "packages")
        column.prop(self, "index")
        column.prop(self, "mirror")
        column.prop(self, "python")
        column.prop(self, "connection")


def preferences() -> UnoccludePreferences:
    return bpy.context.preferences.addons[__package__].preferences


CLASSES = (UnoccludePreferences,)
