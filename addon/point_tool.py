"""The tool of the Image Editor that points at the object: each click, or box, is one undo step."""

# Blender's properties are annotations that are no types.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

from math import hypot

import bpy
from bpy.props import BoolProperty
from bpy.types import Context, Event, Operator, WorkSpaceTool

from . import mask_view
from .core.prompt import Box, box_between, pixel_at
from .image_editor import can_take_tool, has_picture, take_tool
from .properties import reference_image
from .wire.errors import UnoccludeError

TOOL = "unocclude.point_tool"
DRAG = 6
"""Pixels of the screen that the mouse moves before a click counts as a box."""
NO_BOX = (0, 0, 0, 0)
box_drawn: list[Box] = []
"""The box that is being drawn at this moment, if any."""


class UNOCCLUDE_OT_add_point(Operator):
    """Mark the pixel under the mouse as part of the object, or as not part of it. Drag to draw a box around it"""

    bl_idname = "unocclude.add_point"
    bl_label = "Point at the Object"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    _start: tuple[int, int]
    _pressed: tuple[int, int]

    negative: BoolProperty(name="Not Part of the Object", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: Context) -> bool:
        return has_picture(context)

    def invoke(self, context: Context, event: Event) -> set[str]:
        pixel = _pixel_under_mouse(context, event)
        if pixel is None:
            self.report({"INFO"}, "Click on the picture")
            return {"CANCELLED"}
        self._start, self._pressed = pixel, (event.mouse_region_x, event.mouse_region_y)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> set[str]:
        if event.type in {"RIGHTMOUSE", "ESC"}:
            return self._end(context, {"CANCELLED"})
        away = hypot(event.mouse_region_x - self._pressed[0], event.mouse_region_y - self._pressed[1])
        dragged = not self.negative and away > DRAG * context.preferences.system.ui_scale
        pixel = _pixel_under_mouse(context, event, outside=True)
        if event.type == "MOUSEMOVE":
            box_drawn[:] = [box_between(self._start, pixel)] if dragged and pixel else []
            context.area.tag_redraw()
        if event.type != "LEFTMOUSE" or event.value != "RELEASE":
            return {"RUNNING_MODAL"}
        image = context.space_data.image
        if image is None:
            return self._end(context, {"CANCELLED"})
        context.scene.unocclude.image = image
        if dragged and pixel:
            image.unocclude.box = box_between(self._start, pixel)
        else:
            point = image.unocclude.points.add()
            point.x, point.y = self._start
            point.negative = self.negative
        return self._end(context, {"FINISHED"})

    def _end(self, context: Context, result: set[str]) -> set[str]:
        box_drawn.clear()
        context.area.tag_redraw()
        return result


class UNOCCLUDE_OT_remove_point(Operator):
    """Remove the stroke of the brush that came last, where there is none the last point, and then the box"""

    bl_idname = "unocclude.remove_point"
    bl_label = "Remove Last Point"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        return _has_points(context)

    def execute(self, context: Context) -> set[str]:
        image = reference_image(context)
        assert image is not None
        prompt = image.unocclude
        for marks in (prompt.strokes, prompt.points):
            if marks:
                marks.remove(len(marks) - 1)
                return {"FINISHED"}
        prompt.box = NO_BOX
        return {"FINISHED"}


class UNOCCLUDE_OT_clear_points(Operator):
    """Remove all points, the box and what was painted from the image"""

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
        image.unocclude.strokes.clear()
        image.unocclude.box = NO_BOX
        return {"FINISHED"}


class UNOCCLUDE_OT_point(Operator):
    """Point at the object in the picture: click on it or draw a box around it; Ctrl-click on what is not part of it"""

    bl_idname = "unocclude.point"
    bl_label = "Point at the Object"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return can_take_tool(context)

    def execute(self, context: Context) -> set[str]:
        image = take_tool(context, TOOL)
        try:
            mask_view.get_ready(context, image)
        except UnoccludeError as error:
            self.report({"ERROR"}, str(error))
        return {"FINISHED"}


class UNOCCLUDE_point_tool(WorkSpaceTool):
    bl_space_type = "IMAGE_EDITOR"
    bl_context_mode = "VIEW"
    bl_idname = TOOL
    bl_label = "Point at the Object"
    bl_description = (
        "Click on the half-hidden object, or draw a box around what is seen of it. "
        "Ctrl-click on what does not belong to it"
    )
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
    if image is None:
        return False
    prompt = image.unocclude
    return len(prompt.points) > 0 or len(prompt.strokes) > 0 or prompt.has_box


def _pixel_under_mouse(context: Context, event: Event, outside: bool = False) -> tuple[int, int] | None:
    """None beside the picture; with `outside` the nearest pixel, so that a box can be drawn generously."""
    width, height = context.space_data.image.size
    u, v = context.region.view2d.region_to_view(event.mouse_region_x, event.mouse_region_y)
    if outside and width and height:
        u, v = min(max(u, 0.0), 1 - 0.5 / width), min(max(v, 0.5 / height), 1.0)
    return pixel_at(u, v, width, height)


CLASSES = (UNOCCLUDE_OT_add_point, UNOCCLUDE_OT_remove_point, UNOCCLUDE_OT_clear_points, UNOCCLUDE_OT_point)


def register() -> None:
    bpy.utils.register_tool(UNOCCLUDE_point_tool)


def unregister() -> None:
    bpy.utils.unregister_tool(UNOCCLUDE_point_tool)
