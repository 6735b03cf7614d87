"""The tool of the Image Editor that points at the object: each click is one point and one undo step."""

# Blender's properties are annotations that are no types.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

import bpy
from bpy.props import BoolProperty
from bpy.types import Context, Event, Operator, SpaceImageEditor, WorkSpaceTool

from .core.prompt import pixel_at
from .properties import reference_image

TOOL = "unocclude.point_tool"


class UNOCCLUDE_OT_add_point(Operator):
    """Mark the pixel under the mouse as part of the object, or as not part of it"""

    bl_idname = "unocclude.add_point"
    bl_label = "Point at the Object"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    negative: BoolProperty(name="Not Part of the Object", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: Context) -> bool:
        return isinstance(context.space_data, SpaceImageEditor) and context.space_data.image is not None

    def invoke(self, context: Context, event: Event) -> set[str]:
        image = context.space_data.image
        place = context.region.view2d.region_to_view(event.mouse_region_x, event.mouse_region_y)
        pixel = pixel_at(*place, *image.size)
        if pixel is None:
            self.report({"INFO"}, "Click on the picture")
            return {"CANCELLED"}
        context.scene.unocclude.image = image
        point = image.unocclude.points.add()
        point.x, point.y = pixel
        point.negative = self.negative
        context.area.tag_redraw()
        return {"FINISHED"}


class UNOCCLUDE_OT_remove_point(Operator):
    """Remove the point that was set last"""

    bl_idname = "unocclude.remove_point"
    bl_label = "Remove Last Point"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        return _has_points(context)

    def execute(self, context: Context) -> set[str]:
        image = reference_image(context)
        assert image is not None
        points = image.unocclude.points
        points.remove(len(points) - 1)
        return {"FINISHED"}


class UNOCCLUDE_OT_clear_points(Operator):
    """Remove all points from the image"""

    bl_idname = "unocclude.clear_points"
    bl_label = "Clear Points"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        return _has_points(context)

    def execute(self, context: Context) -> set[str]:
        image = reference_image(context)
        assert image is not None
        image.unocclude.points.clear()
        return {"FINISHED"}


class UNOCCLUDE_OT_point(Operator):
    """Point at the object in the picture: click on it; Ctrl-click on what does not belong to it"""

    bl_idname = "unocclude.point"
    bl_label = "Point at the Object"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return context.window is not None and reference_image(context) is not None

    def execute(self, context: Context) -> set[str]:
        context.scene.unocclude.image = image = reference_image(context)
        area = _image_editor(context)
        space = area.spaces.active
        space.mode = "VIEW"
        space.image = image
        region = next(region for region in area.regions if region.type == "WINDOW")
        with context.temp_override(area=area, region=region, space_data=space):
            bpy.ops.wm.tool_set_by_id(name=TOOL, space_type="IMAGE_EDITOR")
        area.tag_redraw()
        return {"FINISHED"}


class UNOCCLUDE_point_tool(WorkSpaceTool):
    bl_space_type = "IMAGE_EDITOR"
    bl_context_mode = "VIEW"
    bl_idname = TOOL
    bl_label = "Point at the Object"
    bl_description = "Click on the half-hidden object. Ctrl-click on what does not belong to it"
    bl_icon = "ops.generic.cursor"
    bl_cursor = "CROSSHAIR"
    bl_keymap = (
        (UNOCCLUDE_OT_add_point.bl_idname, {"type": "LEFTMOUSE", "value": "PRESS"}, None),
        *(
            (
                UNOCCLUDE_OT_add_point.bl_idname,
                {"type": "LEFTMOUSE", "value": "PRESS", modifier: True},
                {"properties": [("negative", True)]},
            )
            for modifier in ("ctrl", "alt")
        ),
        (UNOCCLUDE_OT_remove_point.bl_idname, {"type": "BACK_SPACE", "value": "PRESS"}, None),
    )


def _has_points(context: Context) -> bool:
    image = reference_image(context)
    return image is not None and len(image.unocclude.points) > 0


def _image_editor(context: Context) -> bpy.types.Area:
    """The one that the mouse is in, else one of this window's, else half of the present area becomes one."""
    if context.area.type == "IMAGE_EDITOR":
        return context.area
    areas = context.screen.areas
    for area in areas:
        if area.type == "IMAGE_EDITOR":
            return area
    before = set(areas)
    bpy.ops.screen.area_split(direction="VERTICAL", factor=0.5)
    area = next(area for area in areas if area not in before)
    area.type = "IMAGE_EDITOR"
    return area


CLASSES = (UNOCCLUDE_OT_add_point, UNOCCLUDE_OT_remove_point, UNOCCLUDE_OT_clear_points, UNOCCLUDE_OT_point)


def register() -> None:
    bpy.utils.register_tool(UNOCCLUDE_point_tool)


def unregister() -> None:
    bpy.utils.unregister_tool(UNOCCLUDE_point_tool)
