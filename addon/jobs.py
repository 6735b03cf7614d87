"""The jobs, on Blender's side: hand them over, take their news on a timer, bring their meshes in."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.types import Context, Image, Scene

from .backend_choice import backend_home, starting_python
from .core.job import Job, Phase, Source
from .core.link import Link, Order
from .core.session import Session
from .core.strokes import Painting
from .picture import PictureFile, finish, picture_file
from .placement import Placed, may_place, place, seen_by
from .properties import reference_image
from .redraw import redraw
from .wire.connection import home_folder
from .wire.errors import InputError, UnoccludeError
from .wire.protocol import JobInfo

TICK = 0.1
"""Seconds between two looks at the news while something is going on."""
BACKEND_AGE = 5.0
"""Seconds for which it is taken as known whether a backend runs."""
UNDO_NAME = "Reconstruct Occluded Object"

session = Session(Link(home_folder()), Link(home_folder()))
_backend_seen = 0.0


def reconstruct(context: Context) -> Job:
    """Order the job that the scene's settings describe. Raises InputError where the image has no pixels."""
    settings = context.scene.unocclude
    settings.image = reference_image(context)
    active = context.view_layer.objects.active
    job = Job(settings.spec(), settings.image.name, context.scene.name, replaces=active.name if active else "")
    _order(job, picture_file(settings.image), painting=settings.image.unocclude.painting())
    return job


def go_on(context: Context, number: int) -> None:
    """From one of the completions on show to its mesh, in the quality and from the elevation that are chosen now.

    Raises InputError where the photograph is gone.
    """
    gallery = session.gallery
    assert gallery is not None
    changes = context.scene.unocclude.later_choices()
    if gallery.given:
        _order_from(context, gallery.source, gallery.completion(number).read_bytes, **changes)
        return
    spec = replace(gallery.spec, choose=number, to="mesh", **changes)
    job = Job(spec, gallery.picture, context.scene.name, replaces=gallery.replaces)
    _order(job, _photograph(job.picture), mask_of=gallery.id)


def draw_other_views(context: Context) -> None:
    """Of the completion that the present job went on from, with the next seed. Raises InputError as above."""
    before = session.job
    assert before is not None
    changes = {"seed": before.spec.seed + 1, **context.scene.unocclude.later_choices()}
    _order_from(context, before.source, before.completion().read_bytes, origin=before.gallery, **changes)


def go_on_from_painting(context: Context, image: Image) -> None:
    """From a completion that was painted over. Raises InputError as above."""
    source = Source.from_text(image.unocclude.source)
    _order_from(context, source, picture_file(image), **context.scene.unocclude.later_choices())


def _order_from(
    context: Context, source: Source, completion: PictureFile, origin: Job | None = None, **changes: Any
) -> None:
    """A mesh of this completion, with these changes to what was ordered before."""
    active = context.view_layer.objects.active
    job = Job(
        source.going_on(**changes),
        source.picture,
        context.scene.name,
        replaces=active.name if active else "",
        origin=origin,
        given=True,
    )
    _order(job, _photograph(source.picture), completion=completion, mask_of=source.job)


def _photograph(name: str) -> PictureFile:
    image = bpy.data.images.get(name)
    if image is None:
        raise InputError(f"The image {name} is no longer in this file.", "Load it again.")
    return picture_file(image)


def attach(context: Context, info: JobInfo) -> None:
    """To a job that the backend has already: follow it if it runs, bring in what it made."""
    image = reference_image(context)
    name = image.name if image else "object"
    _order(Job(info.spec, name, context.scene.name, id=info.job, given=info.given), None)


def list_jobs() -> None:
    session.list_jobs(_results())
    watch()


def _order(
    job: Job,
    picture: PictureFile | None,
    painting: Painting | None = None,
    completion: PictureFile | None = None,
    mask_of: str = "",
) -> None:
    python = starting_python()
    folder = _results() / job.id
    order = Order(job.id, job.spec, picture, folder, python, None, painting, completion, mask_of)
    session.reconstruct(job, order)
    watch()


def _results() -> Path:
    """A folder for each job, until Blender ends."""
    return Path(bpy.app.tempdir) / "unocclude"


def bring_in(context: Context) -> None:
    """Put the mesh that arrived into the context's scene, as one undo step."""
    job = session.job
    assert job is not None
    try:
        placed = place(
            job,
            context.scene,
            context.view_layer,
            bpy.data.images.get(job.picture),
            context.scene.unocclude.placement(),
        )
    except Exception as error:
        job.fail(UnoccludeError(f"The mesh could not be brought in ({error!r}).", "Please report it."))
        raise
    job.enter(Phase.PLACED)
    bpy.ops.ed.undo_push(message=UNDO_NAME)
    _compare(job, placed, context.scene)
    watch()


def _compare(job: Job, placed: Placed, scene: Scene) -> None:
    """Have it told how well the mesh covers the photograph through the camera, as both are in the scene now."""
    camera = placed.camera and scene.objects[placed.camera]
    job.camera = placed.camera
    if camera and camera.data.type == "PERSP" and job.imagined is not None:
        world = scene.objects[placed.body].matrix_world
        session.compare(seen_by(camera, scene, world, job.imagined.size))


def start_backend() -> None:
    """Raises ServerUnavailableError where it is not installed."""
    session.start_backend(starting_python())
    watch()


def stop_backend() -> None:
    session.stop_backend()
    watch()


def look_for_backend() -> None:
    """Refresh what is known of the backend, now and then; a running job tells it anyway."""
    global _backend_seen
    now = time.monotonic()
    if not session.expects_news and now - _backend_seen > BACKEND_AGE:
        _backend_seen = now
        session.look_for_backend()
        watch()


def watch() -> None:
    """See to it that news is taken in while there is some to expect."""
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=TICK, persistent=True)


def tick() -> float | None:
    """One look at the news. Returns the seconds until the next one, None where nothing is going on."""
    changed = session.take_news()
    job = session.job
    if job is not None and job.phase is Phase.ARRIVED and not job.strayed:
        changed |= _bring_in_where_it_was_ordered(job)
    if changed:
        redraw()
    return TICK if session.expects_news else None


def _bring_in_where_it_was_ordered(job: Job) -> bool:
    """Wait for the moment when that is possible. Timers have no window of their own, so one is lent."""
    scene = bpy.data.scenes.get(job.scene)
    if scene is None:
        job.strayed = True
        return True
    windows = bpy.context.window_manager.windows
    window = next((window for window in windows if window.scene == scene), None)
    view_layer = scene.view_layers[0] if window is None else window.view_layer
    with bpy.context.temp_override(window=window or next(iter(windows), None), scene=scene, view_layer=view_layer):
        if not may_place(bpy.context):
            return False
        bring_in(bpy.context)
    return True


@persistent
def _another_file_was_opened(*_: object) -> None:
    for job in session.jobs:
        job.strayed = True


def use_backend() -> None:
    """The one that the preferences name now. What another one works on goes on there."""
    global session
    finish()
    session.close()
    home = backend_home()
    session = Session(Link(home), Link(home))


def register() -> None:
    bpy.app.handlers.load_post.append(_another_file_was_opened)
    use_backend()


def unregister() -> None:
    bpy.app.handlers.load_post.remove(_another_file_was_opened)
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    finish()
    session.close()
