"""The tool of the Image Editor that paints on the mask: each stroke is one undo step."""

# Blender's properties are annotations that are no types.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

from math import dist

import bpy
from bpy.props import BoolProperty, FloatProperty
from bpy.types import Context, Event, Image, Operator, Region, WorkSpaceTool
from gpu_extras.presets import draw_circle_2d

from .core.silhouette import Drawing, Silhouette, drawing_of
from .core.strokes import STEP, Painting, Stroke, painted, places_to_text
from .image_editor import can_take_tool, has_picture, take_tool

TOOL = "unocclude.brush_tool"
stroke_drawn: list[tuple[Drawing, bool]] = []
"""What the stroke that is being painted at this moment has gone over, if any, and whether it takes away."""


class UNOCCLUDE_OT_paint_mask(Operator):
    """Add what the brush goes over to the object's visible part, or take it away"""

    bl_idname = "unocclude.paint_mask"
    bl_label = "Paint the Mask"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    _places: list[tuple[float, float]]
    _painted: Silhouette

    erase: BoolProperty(name="Take Away", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: Context) -> bool:
        return has_picture(context)

    def invoke(self, context: Context, event: Event) -> set[str]:
        self._places = []
        self._painted = [0] * context.space_data.image.size[1]
        self._go_to(context, event)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> set[str]:
        image = context.space_data.image
        if event.type in {"RIGHTMOUSE", "ESC"} or image is None:
            return self._end(context, {"CANCELLED"})
        if event.type == "MOUSEMOVE":
            self._go_to(context, event)
        if event.type != "LEFTMOUSE" or event.value != "RELEASE":
            return {"RUNNING_MODAL"}
        context.scene.unocclude.image = image
        stroke = image.unocclude.strokes.add()
        stroke.places = places_to_text(self._places)
        stroke.radius = _radius(context, image)
        stroke.erase = self.erase
        return self._end(context, {"FINISHED"})

    def _go_to(self, context: Context, event: Event) -> None:
        image = context.space_data.image
        u, v = context.region.view2d.region_to_view(event.mouse_region_x, event.mouse_region_y)
        place, radius = (u * image.size[0], (1 - v) * image.size[1]), _radius(context, image)
        if self._places and dist(place, self._places[-1]) < STEP * radius:
            return  # no pixel would change that matters
        self._places.append(place)
        last = Stroke(tuple(self._places[-2:]), radius)
        self._painted = painted(self._painted, Painting((last,), tuple(image.size)))
        stroke_drawn[:] = [(drawing_of(self._painted, image.size[0]), self.erase)]
        context.area.tag_redraw()

    def _end(self, context: Context, result: set[str]) -> set[str]:
        stroke_drawn.clear()
        context.area.tag_redraw()
        return result


class UNOCCLUDE_OT_brush_size(Operator):
    """Make the brush for the mask wider or narrower"""

    bl_idname = "unocclude.brush_size"
    bl_label = "Brush Size"
    bl_options = {"INTERNAL"}

    factor: FloatProperty(default=1.25)

    def execute(self, context: Context) -> set[str]:
        context.scene.unocclude.brush *= self.factor
        context.area.tag_redraw()
        return {"FINISHED"}


class UNOCCLUDE_OT_brush(Operator):
    """Correct the mask with a brush: drag over what belongs to the object, Ctrl-drag over what does not"""

    bl_idname = "unocclude.brush"
    bl_label = "Paint the Mask"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return can_take_tool(context)

    def execute(self, context: Context) -> set[str]:
        take_tool(context, TOOL)
        return {"FINISHED"}


class UNOCCLUDE_brush_tool(WorkSpaceTool):
    bl_space_type = "IMAGE_EDITOR"
    bl_context_mode = "VIEW"
    bl_idname = TOOL
    bl_label = "Paint the Mask"
    bl_description = "Drag over what belongs to the half-hidden object, Ctrl-drag over what does not"
    bl_icon = "brush.generic"
    bl_keymap = (
        (UNOCCLUDE_OT_paint_mask.bl_idname, {"type": "LEFTMOUSE", "value": "PRESS"}, None),
        *(
            (
                UNOCCLUDE_OT_paint_mask.bl_idname,
                {"type": "LEFTMOUSE", "value": "PRESS", modifier: True},
                {"properties": [("erase", True)]},
            )
            for modifier in ("ctrl", "alt")
        ),
        *(
            (UNOCCLUDE_OT_brush_size.bl_idname, {"type": key, "value": "PRESS"}, {"properties": [("factor", factor)]})
            for key, factor in (("LEFT_BRACKET", 0.8), ("RIGHT_BRACKET", 1.25))
        ),
        ("unocclude.remove_point", {"type": "BACK_SPACE", "value": "PRESS"}, None),
    )

    @staticmethod
    def draw_cursor(context: Context, tool: object, place: tuple[int, int]) -> None:
        """The brush, as wide as it paints."""
        image = context.space_data.image
        region = next((region for region in context.area.regions if region.type == "WINDOW"), None)
        if image is not None and region is not None:
            draw_circle_2d(place, (1.0, 1.0, 1.0, 0.9), _radius(context, image) * _zoom(region, image), segments=48)


def is_at_hand(context: Context) -> bool:
    """Whether the mouse paints with it now."""
    tool = context.workspace.tools.from_space_image_mode("VIEW")
    return tool is not None and tool.idname == TOOL


def _radius(context: Context, image: Image) -> float:
    """In pixels of the picture."""
    return float(context.scene.unocclude.brush / 100 * max(image.size) / 2)


def _zoom(region: Region, image: Image) -> float:
    """Pixels of the screen for one of the picture."""
    left, _ = region.view2d.view_to_region(0, 0, clip=False)
    right, _ = region.view2d.view_to_region(1, 0, clip=False)
    return (right - left) / max(1, image.size[0])


CLASSES = (UNOCCLUDE_OT_paint_mask, UNOCCLUDE_OT_brush_size, UNOCCLUDE_OT_brush)


def register() -> None:
    bpy.utils.register_tool(UNOCCLUDE_brush_tool, after={"unocclude.point_tool"})


def unregister() -> None:
    bpy.utils.unregister_tool(UNOCCLUDE_brush_tool)
