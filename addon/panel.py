"""The panel "Reconstruct occluded object" in the sidebars of the Image Editor and of the 3D View."""

from __future__ import annotations

import bpy
from bpy.props import FloatProperty
from bpy.types import Context, Image, Panel, SpaceImageEditor, UILayout, WindowManager

from . import brush_tool, jobs, mask_view
from .backend_choice import is_elsewhere
from .brush_tool import UNOCCLUDE_OT_brush
from .core.job import Job, Phase
from .cures import draw_error_with_cures
from .gallery import draw_completions, draw_jobs, draw_queue, draw_views
from .operators import (
    UNOCCLUDE_OT_bring_in,
    UNOCCLUDE_OT_cancel,
    UNOCCLUDE_OT_dismiss,
    UNOCCLUDE_OT_go_on_from_painting,
    UNOCCLUDE_OT_keep_as_images,
    UNOCCLUDE_OT_list_jobs,
    UNOCCLUDE_OT_look_through,
    UNOCCLUDE_OT_reconstruct,
    UNOCCLUDE_OT_start_backend,
    UNOCCLUDE_OT_stop_backend,
)
from .point_tool import (
    UNOCCLUDE_OT_clear_points,
    UNOCCLUDE_OT_point,
    UNOCCLUDE_OT_remove_point,
)
from .preferences import preferences
from .text import draw_text
from .thumbnail import icon_of


class _Section:
    bl_region_type = "UI"
    bl_category = "Unocclude"
    layout: UILayout


class _Main(_Section):
    bl_label = "Reconstruct occluded object"

    def draw(self, context: Context) -> None:
        layout = self.layout
        in_editor = isinstance(context.space_data, SpaceImageEditor)
        owner = context.space_data if in_editor else context.scene.unocclude
        layout.template_ID(owner, "image", open="image.open")
        if owner.image is not None and owner.image.unocclude.source:
            _draw_painting(layout, owner.image, context)
        else:
            if owner.image is not None:
                _draw_points(layout, owner.image, context)
            row = layout.row()
            row.scale_y = 1.6
            row.operator(
                UNOCCLUDE_OT_reconstruct.bl_idname,
                text="Add to the Queue" if jobs.session.busy else "Reconstruct",
                icon="MESH_MONKEY",
            )
        if jobs.session.job is not None:
            _draw_job(layout, jobs.session.job, context)
        draw_queue(layout, [job for job, _ in jobs.session.waiting], jobs.session.failed, context)


class _Stages(_Section):
    bl_label = "What Was Imagined"

    @classmethod
    def poll(cls, context: Context) -> bool:
        job = jobs.session.job
        return job is not None and job.imagined is not None and job.phase is Phase.PLACED

    def draw(self, context: Context) -> None:
        job, gallery = jobs.session.job, jobs.session.gallery
        assert job is not None
        assert job.imagined is not None
        assert gallery is not None
        draw_completions(self.layout, gallery, context)
        draw_views(self.layout, job.imagined.views, context)
        self.layout.operator(UNOCCLUDE_OT_keep_as_images.bl_idname, icon="FILE_IMAGE")


class _Options(_Section):
    bl_label = "Options"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        settings = context.scene.unocclude
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "preset")
        layout.prop(settings, "profile")
        layout.prop(settings, "samples")
        layout.prop(settings, "review")
        layout.prop(settings, "seed")
        layout.row(heading="Elevation").prop(settings, "estimate_elevation")
        if not settings.estimate_elevation:
            layout.prop(settings, "elevation", text="Degrees")


class _Place(_Section):
    bl_label = "Placement"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        settings = context.scene.unocclude
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "place", text="")
        if settings.place != "REPLACE":
            layout.prop(settings, "on_ground")
            layout.prop(settings, "scale")
        if settings.place != "CAMERA":
            layout.prop(settings, "match_camera")


class _Jobs(_Section):
    bl_label = "Jobs"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        self.layout.operator(UNOCCLUDE_OT_list_jobs.bl_idname, icon="FILE_REFRESH")
        if jobs.session.listed is not None:
            draw_jobs(self.layout, jobs.session.listed, context)


class _Backend(_Section):
    bl_label = "Backend"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Context) -> None:
        jobs.look_for_backend()
        layout = self.layout
        runs = jobs.session.backend_runs
        row = layout.row()
        row.label(text={None: "Not known", False: "Stopped", True: "Running"}[runs])
        if is_elsewhere():
            row.label(text="On another machine", icon="URL")
        else:
            row.operator(UNOCCLUDE_OT_stop_backend.bl_idname if runs else UNOCCLUDE_OT_start_backend.bl_idname)
            layout.prop(preferences(), "python", text="Python")
        if jobs.session.backend_error is not None:
            draw_error_with_cures(layout, jobs.session.backend_error, context)


def _draw_points(layout: UILayout, image: Image, context: Context) -> None:
    marks = image.unocclude.marks()
    inside = sum(not mark.negative for mark in marks)
    column = layout.column(align=True)
    tools = column.split(factor=0.7, align=True)
    tools.operator(UNOCCLUDE_OT_point.bl_idname, text="Point", icon="RESTRICT_SELECT_OFF")
    tools.operator(UNOCCLUDE_OT_brush.bl_idname, text="Brush", icon="BRUSH_DATA")
    row = column.row(align=True)
    row.operator(UNOCCLUDE_OT_remove_point.bl_idname, text="Undo", icon="LOOP_BACK")
    row.operator(UNOCCLUDE_OT_clear_points.bl_idname, text="Clear", icon="TRASH")
    if brush_tool.is_at_hand(context):
        column.prop(context.scene.unocclude, "brush", slider=True)
    strokes = len(image.unocclude.strokes)
    if marks or strokes or image.unocclude.has_box:
        box = ", in a box" if image.unocclude.has_box else ""
        painted = f", {strokes} painted" if strokes else ""
        hint = f"{inside} on the object, {len(marks) - inside} beside it{box}{painted}"
    else:
        hint = "Click on the object or draw a box around it, Ctrl-click on what is not part of it"
    draw_text(layout, hint, context)
    view = mask_view.view
    if view.starting:
        draw_text(layout, "Starting the backend", context, icon="SORTTIME")
    elif view.error is not None:
        draw_error_with_cures(layout, view.error, context)


def _draw_painting(layout: UILayout, image: Image, context: Context) -> None:
    draw_text(layout, "Paint what is missing. Erase Alpha, among the brush's blend modes, takes away", context)
    row = layout.row()
    row.scale_y = 1.6
    row.operator(UNOCCLUDE_OT_go_on_from_painting.bl_idname, icon="MESH_MONKEY").image = image.name


def _draw_job(layout: UILayout, job: Job, context: Context) -> None:
    box = layout.box()
    if job.phase is Phase.CHOOSING:
        box.label(text=job.headline, icon="QUESTION")
        draw_completions(box, job, context)
    elif job.phase is Phase.PLACED:
        box.label(text=job.headline, icon="CHECKMARK")
        if job.coverage is not None:
            draw_text(box, f"It covers the object in the picture by {job.coverage:.0%}", context)
        box.operator(UNOCCLUDE_OT_look_through.bl_idname, icon="VIEW_CAMERA")
    elif job.phase is Phase.CANCELLED:
        box.label(text=job.headline, icon="CANCEL")
    elif job.error is not None:
        draw_error_with_cures(box, job.error, context)
        box.operator(UNOCCLUDE_OT_dismiss.bl_idname)
    elif job.phase is Phase.ARRIVED:
        box.label(text=job.headline, icon="MESH_DATA")
        reason = "Another file was opened meanwhile" if job.strayed else "Leave the edit mode to bring it in"
        draw_text(box, reason, context)
        if job.strayed:
            row = box.row(align=True)
            row.operator(UNOCCLUDE_OT_bring_in.bl_idname)
            row.operator(UNOCCLUDE_OT_dismiss.bl_idname, text="Discard")
    else:
        _draw_progress(box, job)


def _draw_progress(box: UILayout, job: Job) -> None:
    box.label(text=job.headline, icon="SORTTIME")
    if hasattr(box, "progress"):  # Blender 4.0 and up
        box.progress(factor=job.fraction, text=f"{job.fraction:.0%}")
    else:
        box.prop(bpy.context.window_manager, "unocclude_progress", slider=True)
    details = box.column(align=True)
    details.scale_y = 0.8
    for detail in job.details:
        details.label(text=detail)
    if job.preview is not None:
        box.template_icon(icon_value=icon_of(job.preview), scale=8)
    box.operator(UNOCCLUDE_OT_cancel.bl_idname, icon="CANCEL")


class UNOCCLUDE_PT_image_editor(_Main, Panel):
    bl_space_type = "IMAGE_EDITOR"


class UNOCCLUDE_PT_image_editor_stages(_Stages, Panel):
    bl_space_type = "IMAGE_EDITOR"
    bl_parent_id = "UNOCCLUDE_PT_image_editor"


class UNOCCLUDE_PT_image_editor_options(_Options, Panel):
    bl_space_type = "IMAGE_EDITOR"
    bl_parent_id = "UNOCCLUDE_PT_image_editor"


class UNOCCLUDE_PT_image_editor_place(_Place, Panel):
    bl_space_type = "IMAGE_EDITOR"
    bl_parent_id = "UNOCCLUDE_PT_image_editor"


class UNOCCLUDE_PT_image_editor_jobs(_Jobs, Panel):
    bl_space_type = "IMAGE_EDITOR"
    bl_parent_id = "UNOCCLUDE_PT_image_editor"


class UNOCCLUDE_PT_image_editor_backend(_Backend, Panel):
    bl_space_type = "IMAGE_EDITOR"
    bl_parent_id = "UNOCCLUDE_PT_image_editor"


class UNOCCLUDE_PT_view_3d(_Main, Panel):
    bl_space_type = "VIEW_3D"


class UNOCCLUDE_PT_view_3d_stages(_Stages, Panel):
    bl_space_type = "VIEW_3D"
    bl_parent_id = "UNOCCLUDE_PT_view_3d"


class UNOCCLUDE_PT_view_3d_options(_Options, Panel):
    bl_space_type = "VIEW_3D"
    bl_parent_id = "UNOCCLUDE_PT_view_3d"


class UNOCCLUDE_PT_view_3d_place(_Place, Panel):
    bl_space_type = "VIEW_3D"
    bl_parent_id = "UNOCCLUDE_PT_view_3d"


class UNOCCLUDE_PT_view_3d_jobs(_Jobs, Panel):
    bl_space_type = "VIEW_3D"
    bl_parent_id = "UNOCCLUDE_PT_view_3d"


class UNOCCLUDE_PT_view_3d_backend(_Backend, Panel):
    bl_space_type = "VIEW_3D"
    bl_parent_id = "UNOCCLUDE_PT_view_3d"


CLASSES = (
    UNOCCLUDE_PT_image_editor,
    UNOCCLUDE_PT_image_editor_stages,
    UNOCCLUDE_PT_image_editor_options,
    UNOCCLUDE_PT_image_editor_place,
    UNOCCLUDE_PT_image_editor_jobs,
    UNOCCLUDE_PT_image_editor_backend,
    UNOCCLUDE_PT_view_3d,
    UNOCCLUDE_PT_view_3d_stages,
    UNOCCLUDE_PT_view_3d_options,
    UNOCCLUDE_PT_view_3d_place,
    UNOCCLUDE_PT_view_3d_jobs,
    UNOCCLUDE_PT_view_3d_backend,
)


def _percent(_: WindowManager) -> float:
    job = jobs.session.job
    return 0.0 if job is None else 100 * job.fraction


def register() -> None:
    WindowManager.unocclude_progress = FloatProperty(
        name="", subtype="PERCENTAGE", min=0, max=100, precision=0, get=_percent
    )


def unregister() -> None:
    del WindowManager.unocclude_progress
