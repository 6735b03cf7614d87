"""Errors in panels, with the buttons that cure them."""

from __future__ import annotations

import bpy
from bpy.types import Context, Operator, UILayout

from . import jobs
from .core.diagnostics import report
from .text import draw_error
from .wire.errors import UnoccludeError


class UNOCCLUDE_OT_copy_diagnostics(Operator):
    """Copy a report for a bug report: versions and the ends of the logs, without keys and names"""

    bl_idname = "unocclude.copy_diagnostics"
    bl_label = "Copy Diagnostics"

    def execute(self, context: Context) -> set[str]:
        context.window_manager.clipboard = report(facts())
        self.report({"INFO"}, "The report is in the clipboard")
        return {"FINISHED"}


class UNOCCLUDE_OT_open_preferences(Operator):
    """Show the add-on's preferences, where the backend is installed and chosen"""

    bl_idname = "unocclude.open_preferences"
    bl_label = "Backend's Preferences"

    def execute(self, context: Context) -> set[str]:
        bpy.ops.preferences.addon_show(module=__package__)
        return {"FINISHED"}


class UNOCCLUDE_OT_make_faster(Operator):
    """Use the fast preset and one sample, which need least, and try again"""

    bl_idname = "unocclude.make_faster"
    bl_label = "Try With Less"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: Context) -> set[str]:
        settings = context.scene.unocclude
        settings.preset, settings.samples = "fast", 1
        return bpy.ops.unocclude.reconstruct()


CLASSES = (UNOCCLUDE_OT_copy_diagnostics, UNOCCLUDE_OT_open_preferences, UNOCCLUDE_OT_make_faster)

_BUTTONS: dict[str, tuple[tuple[str, str], ...]] = {
    "server_unavailable": (("unocclude.start_backend", "Start Backend"), ("unocclude.open_preferences", "")),
    "input": (("unocclude.point", ""),),
    "models_missing": (("unocclude.open_preferences", ""),),
    "out_of_memory": (("unocclude.make_faster", ""),),
    "worker": (("unocclude.reconstruct", "Try Again"),),
    "internal": (("unocclude.reconstruct", "Try Again"),),
    "full": (("unocclude.reconstruct", "Try Again"),),
    "version": (("unocclude.open_preferences", ""),),
}
"""By the error's code: operators, and what to write on the button where it is not the operator's name."""


def draw_error_with_cures(layout: UILayout, error: UnoccludeError, context: Context) -> None:
    draw_error(layout, error, context)
    column = layout.column(align=True)
    for operator, text in _BUTTONS.get(error.code, ()):
        if text:
            column.operator(operator, text=text)
        else:
            column.operator(operator)
    column.operator(UNOCCLUDE_OT_copy_diagnostics.bl_idname, icon="COPYDOWN")


def facts() -> dict[str, object]:
    """What only Blender knows."""
    session = jobs.session
    job = session.job
    spec = None if job is None else {**job.spec.to_json(), "prompt": "left out"}
    return {
        "Blender": bpy.app.version_string,
        "add-on": __package__,
        "backend runs": session.backend_runs,
        "backend's error": session.backend_error,
        "job": None if job is None else f"{job.id}, {job.phase.name}, {spec}",
        "job's error": job and job.error and f"{job.error.code}: {job.error}",
    }
