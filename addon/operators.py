"""What the panel's buttons do."""

# Blender's properties are annotations that are no types.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

from collections.abc import Callable

import bpy
from bpy.props import IntProperty, StringProperty
from bpy.types import Context, Operator

from . import jobs
from .core.job import Phase
from .image_editor import open_in_image_editor
from .kept_images import completion_to_paint, keep_results
from .properties import reference_image
from .redraw import redraw
from .wire.errors import UnoccludeError


class UNOCCLUDE_OT_reconstruct(Operator):
    """Imagine the whole object and bring it into the scene as a textured mesh"""

    bl_idname = "unocclude.reconstruct"
    bl_label = "Reconstruct"

    @classmethod
    def poll(cls, context: Context) -> bool:
        image = reference_image(context)
        if image is None:
            return _no(cls, "Choose a reference image first")
        if not image.unocclude.says_something:
            return _no(cls, "Click on the object in the Image Editor first")
        if jobs.session.waits_for_artist:
            return _no(cls, "Bring in or discard the mesh that is ready first")
        return True

    def execute(self, context: Context) -> set[str]:
        return _attempt(self, lambda: jobs.reconstruct(context))


class UNOCCLUDE_OT_sample_again(Operator):
    """Imagine the hidden part anew, with the next seed"""

    bl_idname = "unocclude.sample_again"
    bl_label = "Imagine Again"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        return UNOCCLUDE_OT_reconstruct.poll(context)

    def execute(self, context: Context) -> set[str]:
        context.scene.unocclude.seed += 1
        return UNOCCLUDE_OT_reconstruct.execute(self, context)


class UNOCCLUDE_OT_choose(Operator):
    """Make the mesh of this one"""

    bl_idname = "unocclude.choose"
    bl_label = "Make This One"

    number: IntProperty(min=0, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: Context) -> bool:
        return jobs.session.can_go_on

    def execute(self, context: Context) -> set[str]:
        return _attempt(self, lambda: jobs.go_on(context, self.number))


class UNOCCLUDE_OT_draw_other_views(Operator):
    """Keep what was imagined, but draw it from all sides anew, with the next seed, and make the mesh of that"""

    bl_idname = "unocclude.draw_other_views"
    bl_label = "Draw Other Views"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return jobs.session.can_go_on

    def execute(self, context: Context) -> set[str]:
        return _attempt(self, lambda: jobs.draw_other_views(context))


class UNOCCLUDE_OT_keep_as_images(Operator):
    """Keep the completions, the masks and the views as images in this file"""

    bl_idname = "unocclude.keep_as_images"
    bl_label = "Keep as Images"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        return jobs.session.job is not None and jobs.session.job.imagined is not None

    def execute(self, context: Context) -> set[str]:
        assert jobs.session.job is not None
        kept = keep_results(jobs.session.job)
        self.report({"INFO"}, f"{len(kept)} images were added to this file")
        return {"FINISHED"}


class UNOCCLUDE_OT_paint_completion(Operator):
    """Paint over this completion in the Image Editor, with Blender's own brushes, then go on from it"""

    bl_idname = "unocclude.paint_completion"
    bl_label = "Paint Over It"
    bl_options = {"REGISTER", "UNDO"}

    number: IntProperty(min=0, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: Context) -> bool:
        gallery = jobs.session.gallery
        return gallery is not None and gallery.imagined is not None

    def execute(self, context: Context) -> set[str]:
        assert jobs.session.gallery is not None
        image = completion_to_paint(jobs.session.gallery, self.number)
        if context.area is not None:
            open_in_image_editor(context, image).spaces.active.mode = "PAINT"
        return {"FINISHED"}


class UNOCCLUDE_OT_go_on_from_painting(Operator):
    """Make the mesh of what is painted in this image"""

    bl_idname = "unocclude.go_on_from_painting"
    bl_label = "Make the Mesh of This"

    image: StringProperty(options={"SKIP_SAVE"})

    def execute(self, context: Context) -> set[str]:
        return _attempt(self, lambda: jobs.go_on_from_painting(context, bpy.data.images[self.image]))


class UNOCCLUDE_OT_take_back(Operator):
    """Take this job out of the queue"""

    bl_idname = "unocclude.take_back"
    bl_label = "Take Out"

    job: StringProperty(options={"SKIP_SAVE"})

    def execute(self, context: Context) -> set[str]:
        jobs.session.take_back(self.job)
        return {"FINISHED"}


class UNOCCLUDE_OT_list_jobs(Operator):
    """Show which jobs the backend has, also those from before Blender was started"""

    bl_idname = "unocclude.list_jobs"
    bl_label = "Show Jobs"

    def execute(self, context: Context) -> set[str]:
        jobs.list_jobs()
        return {"FINISHED"}


class UNOCCLUDE_OT_attach(Operator):
    """Follow this job if it runs, and bring its mesh into the scene"""

    bl_idname = "unocclude.attach"
    bl_label = "Bring In"

    job: StringProperty(options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: Context) -> bool:
        return jobs.session.listed is not None

    def execute(self, context: Context) -> set[str]:
        listed = jobs.session.listed
        info = next((info for info in listed.jobs if info.job == self.job), None) if listed else None
        if info is None:
            self.report({"ERROR"}, "That job is no longer known. Show the jobs again.")
            return {"CANCELLED"}
        jobs.attach(context, info)
        return {"FINISHED"}


class UNOCCLUDE_OT_cancel(Operator):
    """Stop the reconstruction"""

    bl_idname = "unocclude.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: Context) -> bool:
        return jobs.session.job is not None and jobs.session.job.cancellable

    def execute(self, context: Context) -> set[str]:
        jobs.session.cancel()
        return {"FINISHED"}


class UNOCCLUDE_OT_bring_in(Operator):
    """Put the mesh into this scene"""

    bl_idname = "unocclude.bring_in"
    bl_label = "Bring In Here"

    @classmethod
    def poll(cls, context: Context) -> bool:
        job = jobs.session.job
        return job is not None and job.phase is Phase.ARRIVED and jobs.may_place(context)

    def execute(self, context: Context) -> set[str]:
        jobs.bring_in(context)
        return {"FINISHED"}


class UNOCCLUDE_OT_look_through(Operator):
    """Make the photograph's camera the scene's, and look through it in this 3D View"""

    bl_idname = "unocclude.look_through"
    bl_label = "Look Through Its Camera"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Context) -> bool:
        job = jobs.session.job
        return job is not None and job.camera is not None and job.camera in context.scene.objects

    def execute(self, context: Context) -> set[str]:
        assert jobs.session.job is not None
        context.scene.camera = context.scene.objects[jobs.session.job.camera]
        for area in context.screen.areas:
            if area.type == "VIEW_3D":
                area.spaces.active.region_3d.view_perspective = "CAMERA"
        return {"FINISHED"}


class UNOCCLUDE_OT_dismiss(Operator):
    """Take this away"""

    bl_idname = "unocclude.dismiss"
    bl_label = "Dismiss"

    def execute(self, context: Context) -> set[str]:
        jobs.session.dismiss()
        return {"FINISHED"}


class UNOCCLUDE_OT_start_backend(Operator):
    """Start the backend on this machine"""

    bl_idname = "unocclude.start_backend"
    bl_label = "Start"

    def execute(self, context: Context) -> set[str]:
        return _attempt(self, jobs.start_backend)


class UNOCCLUDE_OT_stop_backend(Operator):
    """Stop the backend. Unfinished jobs go on when it is started again"""

    bl_idname = "unocclude.stop_backend"
    bl_label = "Stop"

    def execute(self, context: Context) -> set[str]:
        jobs.stop_backend()
        return {"FINISHED"}


def _attempt(operator: Operator, order: Callable[[], object]) -> set[str]:
    try:
        order()
    except UnoccludeError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    redraw()
    return {"FINISHED"}


def _no(operator: type[Operator], reason: str) -> bool:
    operator.poll_message_set(reason)
    return False


CLASSES = (
    UNOCCLUDE_OT_reconstruct,
    UNOCCLUDE_OT_sample_again,
    UNOCCLUDE_OT_choose,
    UNOCCLUDE_OT_draw_other_views,
    UNOCCLUDE_OT_keep_as_images,
    UNOCCLUDE_OT_paint_completion,
    UNOCCLUDE_OT_go_on_from_painting,
    UNOCCLUDE_OT_take_back,
    UNOCCLUDE_OT_list_jobs,
    UNOCCLUDE_OT_attach,
    UNOCCLUDE_OT_cancel,
    UNOCCLUDE_OT_bring_in,
    UNOCCLUDE_OT_look_through,
    UNOCCLUDE_OT_dismiss,
    UNOCCLUDE_OT_start_backend,
    UNOCCLUDE_OT_stop_backend,
)
