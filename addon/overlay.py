"""Draw the masks, the points and the box over the picture in the Image Editor."""

from __future__ import annotations

from math import cos, pi, sin

import bpy
import gpu
from bpy.types import Context, SpaceImageEditor
from gpu_extras.batch import batch_for_shader

from . import brush_tool, jobs, mask_view, point_tool, shade
from .core.prompt import Box, Point, place_of
from .shade import Colour

POSITIVE: Colour = (0.15, 0.75, 0.25, 1.0)
NEGATIVE: Colour = (0.9, 0.2, 0.15, 1.0)
INK: Colour = (1.0, 1.0, 1.0, 1.0)
RIM: Colour = (0.0, 0.0, 0.0, 0.8)
VISIBLE: Colour = (0.1, 0.55, 1.0, 0.4)
WHOLE: Colour = (1.0, 0.6, 0.1, 0.35)
ADDED: Colour = (0.15, 0.75, 0.25, 0.4)
ERASED: Colour = (0.9, 0.2, 0.15, 0.4)
RADIUS = 8.0
"""Of a point's disc, in pixels of the screen at the normal size of Blender's interface."""

_CIRCLE = [(cos(2 * pi * k / 24), sin(2 * pi * k / 24)) for k in range(24)]


def draw() -> None:
    context = bpy.context
    space = context.space_data
    image = space.image
    if image is None or not space.overlay.show_overlays:
        return
    if _is_pointing(context) and image == context.scene.unocclude.image:
        mask_view.see(image)
    job = jobs.session.job
    if job is not None and job.imagined is not None and job.picture == image.name:
        shade.draw(context.region, job.imagined.drawing, WHOLE)
    shade.draw(context.region, mask_view.mask_of(image), VISIBLE)
    for drawing, erase in brush_tool.stroke_drawn:
        shade.draw(context.region, drawing, ERASED if erase else ADDED)
    view = context.region.view2d
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    scale = context.preferences.system.ui_scale
    for box in point_tool.box_drawn or ([image.unocclude.box] if image.unocclude.has_box else []):
        _draw_box(shader, [view.view_to_region(*place, clip=False) for place in _corners(box, *image.size)], scale)
    for point in image.unocclude.marks():
        centre = view.view_to_region(*place_of(point.x, point.y, *image.size), clip=False)
        _draw_point(shader, point, centre, scale)


def _draw_point(shader: gpu.types.GPUShader, point: Point, centre: tuple[float, float], scale: float) -> None:
    radius = RADIUS * scale
    _fill(shader, _disc(centre, radius + 2 * scale), RIM)
    _fill(shader, _disc(centre, radius), NEGATIVE if point.negative else POSITIVE)
    arm, thickness = 0.6 * radius, 0.15 * radius
    _fill(shader, _bar(centre, arm, thickness), INK)
    if not point.negative:
        _fill(shader, _bar(centre, thickness, arm), INK)


def _is_pointing(context: Context) -> bool:
    """Only then is the backend bothered: a file that was just opened may have points too."""
    tool = context.workspace.tools.from_space_image_mode("VIEW")
    return tool is not None and tool.idname in {point_tool.TOOL, brush_tool.TOOL}


def _corners(box: Box, width: int, height: int) -> list[tuple[float, float]]:
    """In Blender's image space."""
    left, top, right, bottom = box
    return [(x / width, 1 - y / height) for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]


def _draw_box(shader: gpu.types.GPUShader, corners: list[tuple[float, float]], scale: float) -> None:
    (left, top), _, (right, bottom), _ = corners
    middle, width = ((left + right) / 2, (top + bottom) / 2), abs(right - left) / 2
    height = abs(top - bottom) / 2
    for thickness, colour in ((2 * scale, RIM), (scale, POSITIVE)):
        for y in (top, bottom):
            _fill(shader, _bar((middle[0], y), width + thickness, thickness), colour)
        for x in (left, right):
            _fill(shader, _bar((x, middle[1]), thickness, height + thickness), colour)


def _disc(centre: tuple[float, float], radius: float) -> list[tuple[float, float]]:
    return [(centre[0] + radius * x, centre[1] + radius * y) for x, y in _CIRCLE]


def _bar(centre: tuple[float, float], half_width: float, half_height: float) -> list[tuple[float, float]]:
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [(centre[0] + half_width * x, centre[1] + half_height * y) for x, y in corners]


def _fill(shader: gpu.types.GPUShader, corners: list[tuple[float, float]], colour: Colour) -> None:
    fan = [(0, k, k + 1) for k in range(1, len(corners) - 1)]
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_float("color", colour)
    batch_for_shader(shader, "TRIS", {"pos": [(x, y, 0.0) for x, y in corners]}, indices=fan).draw(shader)
    gpu.state.blend_set("NONE")


_handle: object | None = None


def register() -> None:
    global _handle
    if not bpy.app.background:  # there is no GPU to draw with
        _handle = SpaceImageEditor.draw_handler_add(draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    global _handle
    if _handle is not None:
        SpaceImageEditor.draw_handler_remove(_handle, "WINDOW")
        _handle = None
    shade.unregister()
