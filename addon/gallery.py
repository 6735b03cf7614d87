"""What jobs have made, as pictures to choose from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from bpy.types import Context, UILayout

from .core.job import Job
from .core.link import Jobs
from .cures import draw_error_with_cures
from .operators import (
    UNOCCLUDE_OT_attach,
    UNOCCLUDE_OT_choose,
    UNOCCLUDE_OT_draw_other_views,
    UNOCCLUDE_OT_paint_completion,
    UNOCCLUDE_OT_sample_again,
    UNOCCLUDE_OT_take_back,
)
from .text import draw_text
from .thumbnail import icon_of_file

_ICONS = {"queued": "SORTTIME", "running": "PLAY", "cancelling": "CANCEL", "failed": "ERROR", "cancelled": "CANCEL"}


def draw_views(layout: UILayout, views: Sequence[Path], context: Context) -> None:
    """The object from all sides, in the order of the azimuth."""
    grid = layout.grid_flow(row_major=True, columns=4, even_columns=True, even_rows=True, align=True)
    for view in views:
        grid.template_icon(icon_value=icon_of_file(view), scale=_scale(context, 4))
    layout.operator(UNOCCLUDE_OT_draw_other_views.bl_idname, icon="FILE_REFRESH")


def draw_queue(layout: UILayout, waiting: Sequence[Job], failed: Sequence[Job], context: Context) -> None:
    """What comes next, and what went wrong before."""
    for job in waiting:
        row = layout.row()
        row.label(text=job.picture, icon="SORTTIME")
        row.operator(UNOCCLUDE_OT_take_back.bl_idname, text="", icon="X").job = job.id
    for job in failed:
        draw_text(layout, f"{job.picture}: {job.error}", context, icon="ERROR")


def draw_completions(layout: UILayout, job: Job, context: Context) -> None:
    """The job's completions, each with the button that makes its mesh."""
    assert job.imagined is not None
    grid = layout.grid_flow(row_major=True, columns=2, even_columns=True, even_rows=True, align=True)
    for number, picture in enumerate(job.imagined.pictures):
        column = grid.column(align=True)
        column.template_icon(icon_value=icon_of_file(picture), scale=_scale(context, 2))
        best = number == job.imagined.chosen
        button = column.operator(
            UNOCCLUDE_OT_choose.bl_idname, text=f"{number + 1}", icon="CHECKMARK" if best else "MESH_DATA"
        )
        button.number = number
        column.operator(UNOCCLUDE_OT_paint_completion.bl_idname, text="Paint", icon="BRUSH_DATA").number = number
    draw_text(layout, "The ticked one agrees best with all others", context)
    layout.operator(UNOCCLUDE_OT_sample_again.bl_idname, icon="FILE_REFRESH")


def draw_jobs(layout: UILayout, listed: Jobs, context: Context) -> None:
    """The backend's jobs, the newest first."""
    if listed.error is not None:
        draw_error_with_cures(layout, listed.error, context)
    elif not listed.jobs:
        layout.label(text="There are none")
    for info in listed.jobs:
        row = layout.row()
        picture = listed.pictures.get(info.job)
        if picture is None:
            row.label(text="", icon=_ICONS.get(info.state, "MESH_DATA"))
        else:
            row.template_icon(icon_value=icon_of_file(picture), scale=2)
        row.label(
            text=f"{time.strftime('%H:%M', time.localtime(info.created))} {info.state}",
            icon="BRUSH_DATA" if info.given else "NONE",
        )
        if info.state not in {"failed", "cancelled"}:
            text = "Bring In" if info.state == "done" else "Follow"
            row.operator(UNOCCLUDE_OT_attach.bl_idname, text=text).job = info.job


def _scale(context: Context, columns: int) -> float:
    """Of icons, so that this many side by side fill the sidebar: one unit is 20 pixels, the margins are 50."""
    width = context.region.width / context.preferences.system.ui_scale
    return max(2.0, (width - 50) / columns / 20)
