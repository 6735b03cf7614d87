"""Show news: Blender draws an area again only when asked to."""

from __future__ import annotations

import bpy


def redraw() -> None:
    """The areas that show something of ours."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"IMAGE_EDITOR", "VIEW_3D", "PREFERENCES"}:
                area.tag_redraw()
