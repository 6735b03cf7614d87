"""Show a picture in an Image Editor, and take one of its tools into the hand."""

from __future__ import annotations

import bpy
from bpy.types import Area, Context, Image, SpaceImageEditor

from .properties import reference_image


def has_picture(context: Context) -> bool:
    """Whether the mouse is in an Image Editor that shows an image."""
    return isinstance(context.space_data, SpaceImageEditor) and context.space_data.image is not None


def open_in_image_editor(context: Context, image: Image) -> Area:
    """In the editor that the mouse is in, else one of this window's, else half of the present area becomes one."""
    area = _image_editor(context)
    area.spaces.active.mode = "VIEW"
    area.spaces.active.image = image
    area.tag_redraw()
    return area


def can_take_tool(context: Context) -> bool:
    """Whether there is a window, and a reference image to use the tool on."""
    return context.window is not None and reference_image(context) is not None


def take_tool(context: Context, tool: str) -> Image:
    """Show the reference image, which becomes the scene's choice, under this tool."""
    context.scene.unocclude.image = image = reference_image(context)
    area = open_in_image_editor(context, image)
    region = next(region for region in area.regions if region.type == "WINDOW")
    with context.temp_override(area=area, region=region, space_data=area.spaces.active):
        bpy.ops.wm.tool_set_by_id(name=tool, space_type="IMAGE_EDITOR")
    return image


def _image_editor(context: Context) -> Area:
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
