"""What happens around a job: undo, other files, cancel, errors, a backend that dies, the add-on switched off."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import bpy
from support import MODULE, addon_utils, arguments, choose, install, part, phase, picture, pump

QUICK, STEADY, ENDLESS, FAILING = 0, 1, 2, 3  # see scripted_backend.py


def start(seed: int) -> None:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    choose(picture(), 20, 30, seed)
    bpy.ops.ed.undo_push(message="Ready")
    assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}
    pump(lambda: phase() == "RUNNING")


def bodies() -> list[str]:
    return [body.name for body in bpy.data.objects if body.type == "MESH"]


def undo_redo_and_deleted_image() -> None:
    start(STEADY)
    bpy.data.objects.new("Empty", None)
    bpy.ops.ed.undo_push(message="Add")
    bpy.ops.ed.undo()
    bpy.ops.ed.redo()
    bpy.data.images.remove(bpy.context.scene.unocclude.image)
    pump(lambda: phase() == "PLACED")
    assert bodies() == ["cup"]


def another_file_is_opened() -> None:
    start(STEADY)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    pump(lambda: phase() == "ARRIVED")
    part("jobs").tick()
    assert bodies() == [], "brought into a file that did not ask for it"
    assert bpy.ops.unocclude.bring_in() == {"FINISHED"}
    assert bodies() == ["cup"]
    assert phase() == "PLACED"


def saved_under_another_name() -> None:
    start(STEADY)
    bpy.ops.wm.save_as_mainfile(filepath=str(Path(bpy.app.tempdir) / "other.blend"))
    pump(lambda: phase() == "PLACED")
    assert bodies() == ["cup"]


def the_scene_is_duplicated() -> None:
    start(STEADY)
    ordered = bpy.data.scenes[part("jobs").session.job.scene]
    copied = ordered.copy()
    pump(lambda: phase() == "PLACED")
    assert [body.name for body in ordered.objects if body.type == "MESH"] == ["cup"]
    assert not any(body.type == "MESH" for body in copied.objects), "brought into the copy too"


def an_image_is_rendered() -> None:
    start(STEADY)
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.render.engine = "CYCLES"
    scene.render.resolution_x = scene.render.resolution_y = 16
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    bpy.ops.render.render()
    pump(lambda: phase() == "PLACED")
    assert bodies() == ["cup"]


def the_scene_is_deleted() -> None:
    start(STEADY)
    bpy.data.scenes.new("Other")
    bpy.data.scenes.remove(bpy.data.scenes[part("jobs").session.job.scene])
    pump(lambda: part("jobs").session.job.strayed)
    assert bodies() == []
    assert not bpy.ops.unocclude.reconstruct.poll(), "it would lose the mesh that is ready"
    assert bpy.ops.unocclude.dismiss() == {"FINISHED"}


def edit_mode() -> None:
    start(STEADY)
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    pump(lambda: phase() == "ARRIVED")
    part("jobs").tick()
    assert bodies() == ["Cube"]
    bpy.ops.object.mode_set(mode="OBJECT")
    pump(lambda: phase() == "PLACED")
    assert sorted(bodies()) == ["Cube", "cup"]


def cancel() -> None:
    start(ENDLESS)
    assert bpy.ops.unocclude.cancel() == {"FINISHED"}
    assert not bpy.ops.unocclude.cancel.poll()
    pump(lambda: phase() == "CANCELLED")
    assert bodies() == []
    assert bpy.ops.unocclude.reconstruct.poll(), "no new job after a cancelled one"


def failure() -> None:
    start(FAILING)
    pump(lambda: phase() == "FAILED")
    error = part("jobs").session.job.error
    assert (error.message, error.cure) == ("There is nothing at the point.", "Click on the object.")
    assert bpy.ops.unocclude.dismiss() == {"FINISHED"}
    assert phase() == "NONE"


def switched_off() -> None:
    start(ENDLESS)
    addon_utils.disable(MODULE)
    assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
    assert addon_utils.enable(MODULE)
    assert phase() == "NONE"
    with part("wire.client").Client() as client:
        (job, *_) = client.jobs()
        assert job.state == "running", "the backend's job is not the add-on's to end"
        client.cancel(job.job)


def the_backend_dies() -> None:
    start(ENDLESS)
    connection = part("wire.connection")
    pid = connection.Connection.load(connection.home_folder()).pid
    os.kill(pid, signal.SIGKILL)
    pump(lambda: phase() == "FAILED")
    error = part("jobs").session.job.error
    assert error.code == "server_unavailable", error
    assert error.cure
    assert bodies() == []


install(Path(arguments()[0]))
for disturbance in (
    undo_redo_and_deleted_image,
    another_file_is_opened,
    saved_under_another_name,
    the_scene_is_duplicated,
    an_image_is_rendered,
    the_scene_is_deleted,
    edit_mode,
    cancel,
    failure,
    switched_off,
    the_backend_dies,
):
    print(f"-- {disturbance.__name__}", flush=True)
    disturbance()
