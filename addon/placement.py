"""Bring a finished mesh into a scene, so that through the photograph's camera it covers the object there."""

from __future__ import annotations

import json
from dataclasses import dataclass

import bpy
from bpy.types import Collection, Context, Image, Object, Scene, ViewLayer
from mathutils import Matrix, Vector

from .body import make_body
from .core.camera import PhotographCamera
from .core.job import Job
from .core.placement import Placement
from .core.result import Result

OPENCV = Matrix(((1, 0, 0), (0, -1, 0), (0, 0, -1)))
"""Between Blender's camera axes (y up, looking along -z) and OpenCV's (y down, looking along z); its own inverse."""
PHOTOGRAPH = "unocclude_photograph"
"""Custom property of a camera that was made for a photograph: the photograph's name."""


@dataclass(frozen=True)
class Placed:
    """Names, not references: the body, and the camera that sees it as the photograph does, None where there is none."""

    body: str
    camera: str | None


def may_place(context: Context) -> bool:
    """Whether the mesh may come in now: nobody is inside an edit mode, and nothing renders from the data."""
    return context.mode == "OBJECT" and not bpy.app.is_job_running("RENDER")


def place(job: Job, scene: Scene, view_layer: ViewLayer, photograph: Image | None, settings: Placement) -> Placed:
    """Put a job's mesh where the settings say, selected and active. No undo step.

    It comes into a collection of its own; in place of another object, into that one's collections.
    """
    name = job.picture.rpartition(".")[0] or job.picture
    result = job.result
    assert result is not None
    body = make_body(result.mesh, name)
    body["unocclude"] = json.dumps({"job": job.id, "spec": job.spec.to_json()})
    replaced = scene.objects.get(job.replaces) if settings.place == "REPLACE" else None
    collections = [] if replaced is None else list(replaced.users_collection)
    if not collections:
        collections = [bpy.data.collections.new(f"Unocclude {name}")]
        scene.collection.children.link(collections[0])
    for collection in collections:
        collection.objects.link(body)

    camera = scene.camera if settings.place == "CAMERA" else None
    if replaced is not None:
        body.matrix_world = replaced.matrix_world
        bpy.data.objects.remove(replaced)
    elif camera is not None and camera.data.type == "PERSP":
        body.matrix_world = _as_seen_by(camera, scene, result, settings.scale, settings.on_ground)
    else:
        body.matrix_world = _standing(scene, result, settings)
    if settings.place != "CAMERA" and settings.match_camera:
        camera = _matched_camera(scene, collections[0], result.camera, body.matrix_world, name, photograph)

    view_layer.update()
    for other in view_layer.objects.selected:
        other.select_set(False, view_layer=view_layer)
    body.select_set(True, view_layer=view_layer)
    view_layer.objects.active = body
    return Placed(body.name, camera and camera.name)


def seen_by(camera: Object, scene: Scene, world: Matrix, size: tuple[int, int]) -> PhotographCamera:
    """A camera of Blender's as one that looks at an object with this matrix, in the object's own coordinates.

    The camera's frame shows the whole photograph of this size, as large as can be. Raises ValueError for a camera
    that is not a perspective one.
    """
    if camera.data.type != "PERSP":
        raise ValueError("only perspective cameras are pinhole cameras")
    width, height = size
    corners = camera.data.view_frame(scene=scene)
    depth = -corners[0].z
    xs, ys = [corner.x for corner in corners], [corner.y for corner in corners]
    pixel = min((max(xs) - min(xs)) / width, (max(ys) - min(ys)) / height)
    view = _rigid(camera).inverted() @ world
    right, down, forward = (tuple(row) for row in OPENCV @ view.to_3x3())
    return PhotographCamera(
        focal=depth / pixel,
        centre=(width / 2 - (min(xs) + max(xs)) / 2 / pixel, height / 2 + (min(ys) + max(ys)) / 2 / pixel),
        rotation=(right, down, forward),
        translation=tuple(OPENCV @ view.translation),
        size=size,
    )


def _standing(scene: Scene, result: Result, settings: Placement) -> Matrix:
    """At the 3D cursor or the world's origin; there stands its lowest point, or else lies its middle."""
    where = Vector() if settings.place == "ORIGIN" else scene.cursor.location.copy()
    if settings.on_ground:
        where.z -= settings.scale * min(result.mesh.positions[2::3])
    return Matrix.Translation(where) @ Matrix.Scale(settings.scale, 4)


def _as_seen_by(camera: Object, scene: Scene, result: Result, scale: float, on_ground: bool) -> Matrix:
    """Where it covers the object in the photograph, through a camera whose lens may be another one.

    Size and distance are not told by a photograph: they grow together with `scale`, or are such that the lowest point
    is at height 0, where the camera looks down at it.
    """
    taken = result.camera
    own = seen_by(camera, scene, Matrix(), taken.size)
    ((x, y),) = taken.project([(0.0, 0.0, 0.0)])
    ray = Vector(((x - own.centre[0]) / own.focal, (y - own.centre[1]) / own.focal, 1.0))
    middle = ray * taken.translation[2] * own.focal / taken.focal
    turned = Vector(taken.translation).rotation_difference(ray).to_matrix() @ Matrix(taken.rotation)
    pose = Matrix.Translation(middle) @ turned.to_4x4()
    eye = _rigid(camera)
    seen = eye.to_3x3() @ OPENCV
    world = seen.to_4x4() @ pose  # as if the camera were at the origin
    if on_ground:
        (a, b, c, d), positions = world[2], result.mesh.positions
        lowest = min(
            a * x + b * y + c * z for x, y, z in zip(positions[0::3], positions[1::3], positions[2::3], strict=True)
        )
        if lowest + d < 0 < eye.translation.z:
            scale = -eye.translation.z / (lowest + d)
    return Matrix.Translation(eye.translation) @ Matrix.Scale(scale, 4) @ world


def _rigid(camera: Object) -> Matrix:
    """A camera's place and orientation; its scale means nothing."""
    location, rotation, _ = camera.matrix_world.decompose()
    return Matrix.Translation(location) @ rotation.to_matrix().to_4x4()


def _matched_camera(
    scene: Scene, collection: Collection, taken: PhotographCamera, world: Matrix, name: str, photograph: Image | None
) -> Object:
    """The camera that was made for this photograph before, else a new one, looking at the object as it did."""
    title = name if photograph is None else photograph.name
    camera = next((body for body in scene.objects if body.get(PHOTOGRAPH) == title and body.type == "CAMERA"), None)
    if camera is None:
        camera = bpy.data.objects.new(f"{name} camera", bpy.data.cameras.new(f"{name} camera"))
        camera[PHOTOGRAPH] = title
        collection.objects.link(camera)
    rotation = world.to_3x3().normalized() @ Matrix(taken.axes)
    camera.matrix_world = Matrix.Translation(world @ Vector(taken.location)) @ rotation.to_4x4()

    render = scene.render
    fit = taken.fit(
        render.resolution_x * render.pixel_aspect_x / (render.resolution_y * render.pixel_aspect_y),
    )
    data = camera.data
    data.type = "PERSP"
    data.sensor_fit = "VERTICAL" if fit.vertical else "HORIZONTAL"
    data.lens_unit = "MILLIMETERS"
    data.lens = fit.focal * (data.sensor_height if fit.vertical else data.sensor_width)
    data.shift_x, data.shift_y = fit.shift_x, fit.shift_y
    data.clip_start = min(data.clip_start, 0.01 * world.median_scale)
    data.background_images.clear()
    if photograph is not None:
        background = data.background_images.new()
        background.image = photograph
        background.frame_method = "FIT"
        background.display_depth = "BACK"
        background.alpha = 1.0
        data.show_background_images = True
    if scene.camera is None:
        scene.camera = camera
    return camera
