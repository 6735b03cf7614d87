"""Through the photograph's camera, the mesh covers the object, wherever it is put; one undo step takes all of it."""

import shutil
from math import radians
from pathlib import Path

import bpy
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from support import arguments, choose, install, part, phase, picture, pump

dist, out = map(Path, arguments())
install(dist)


def new_file() -> None:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    choose(picture(), 20, 30)
    bpy.context.scene.unocclude.scale = 2.0


def reconstruct() -> tuple[bpy.types.Object, float]:
    """The body, and how well it covers the object."""
    bpy.ops.ed.undo_push(message="Before")
    assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}
    pump(lambda: phase() in {"PLACED", "FAILED"} and not part("jobs").session.expects_news)
    job = part("jobs").session.job
    assert job.error is None, job.error
    return bpy.context.view_layer.objects.active, job.coverage


def lowest(body: bpy.types.Object) -> float:
    return min((body.matrix_world @ vertex.co).z for vertex in body.data.vertices)


def cameras() -> list[bpy.types.Object]:
    return [body for body in bpy.context.scene.objects if body.type == "CAMERA"]


def render(name: str, width: int, height: int) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 16, False
    scene.render.film_transparent = True
    scene.render.filepath = str(out / name)
    scene.render.image_settings.color_mode = "RGBA"
    assert (scene.render.resolution_x, scene.render.resolution_y) == (width, height)
    bpy.ops.render.render(write_still=True)


for name, width, height in (("wide.png", 160, 60), ("tall.png", 90, 120)):
    new_file()
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.unocclude.place = "ORIGIN"
    body, coverage = reconstruct()
    assert coverage > 0.97, coverage
    assert abs(lowest(body)) < 1e-5, "it does not stand on the ground"
    assert [round(value, 4) for value in body.dimensions] == [0.4, 0.8, 1.6]
    (camera,) = cameras()
    assert scene.camera == camera, "there was none"
    assert camera.data.background_images[0].image == scene.unocclude.image
    assert camera.data.show_background_images

    # Blender's own projection agrees with the one that was compared.
    seen = part("placement").seen_by(camera, scene, body.matrix_world, (60, 40))
    corners = [vertex.co for vertex in body.data.vertices]
    pixel = min(width / 60, height / 40)
    for corner, (x, y) in zip(corners, seen.project(corners), strict=True):
        there = world_to_camera_view(scene, camera, body.matrix_world @ corner)
        assert abs((there.x - 0.5) * width / pixel + 30 - x) < 0.01
        assert abs((0.5 - there.y) * height / pixel + 20 - y) < 0.01
    render(name, width, height)

shutil.copy(Path(bpy.app.tempdir) / "unocclude" / part("jobs").session.job.id / "amodal_mask.png", out)

# A camera that the artist matched before: another lens, turned, moved, off the centre of its frame.
for on_ground in (False, True):
    new_file()
    scene = bpy.context.scene
    scene.unocclude.place = "CAMERA"
    scene.unocclude.on_ground = on_ground
    bpy.ops.object.camera_add(location=(3, -4, 2.5), rotation=(radians(70), 0.1, radians(30)), scale=(3, 3, 3))
    scene.camera = bpy.context.object
    scene.camera.data.lens, scene.camera.data.shift_x = 65, 0.1
    bpy.context.view_layer.update()
    body, coverage = reconstruct()
    assert coverage > 0.9, coverage
    assert cameras() == [scene.camera]
    assert not on_ground or abs(lowest(body)) < 1e-4, lowest(body)
    assert on_ground or abs(body.matrix_world.median_scale - 2) < 1e-5

# In place of another object, twice: the camera is used again.
new_file()
scene = bpy.context.scene
scene.unocclude.place = "REPLACE"
bpy.ops.mesh.primitive_cube_add(location=(5, 6, 7), rotation=(0.2, 0.3, 0.4), scale=(0.5, 0.5, 0.5))
proxy = bpy.context.object.matrix_world.copy()
for _ in range(2):
    body, coverage = reconstruct()
    assert coverage > 0.97, coverage
    assert [thing.name for thing in scene.objects if thing.type == "MESH"] == [body.name]
    assert all((body.matrix_world[k] - proxy[k]).length < 1e-5 for k in range(4))
    assert len(cameras()) == 1

scene.unocclude.match_camera = False
scene.unocclude.place = "CURSOR"
scene.unocclude.on_ground = False
scene.cursor.location = (1, 0, 0)
before = {thing.name for thing in scene.objects}
body, coverage = reconstruct()
assert coverage is None, "there is no camera to see it with"
assert body.matrix_world.translation == Vector((1, 0, 0))
bpy.ops.ed.undo()
assert {thing.name for thing in bpy.context.scene.objects} == before, "one undo step takes all of it"
print("placing went well")
