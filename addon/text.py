"""Text in panels. Blender's labels do not wrap by themselves."""

from __future__ import annotations

import textwrap

from bpy.types import Context, UILayout

from .wire.errors import UnoccludeError


def draw_error(layout: UILayout, error: UnoccludeError, context: Context) -> None:
    column = layout.column()
    column.alert = True
    draw_text(column, error.message, context, icon="ERROR")
    if error.cure:
        draw_text(layout, error.cure, context)


def draw_text(layout: UILayout, text: str, context: Context, icon: str = "NONE") -> None:
    """In lines that fit: a letter is about 6 pixels wide, the margins 40."""
    width = context.region.width / context.preferences.system.ui_scale
    letters = max(12, int((width - 40) / 6) - (0 if icon == "NONE" else 7))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(text, letters)):
        column.label(text=line, icon="BLANK1" if number and icon != "NONE" else icon)
