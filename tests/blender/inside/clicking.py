"""The mask follows the prompt: points, a box, undo, clear; what fails is said; nobody waits."""

import time
from pathlib import Path

import bpy
from support import arguments, choose, install, part, picture

install(Path(arguments()[0]))
mask_view = part("mask_view")
worst = 0.0


def settle() -> None:
    """What drawing and the timer do in a window."""
    global worst
    deadline = time.monotonic() + 60
    mask_view.see(bpy.context.scene.unocclude.image)
    while True:
        began = time.monotonic()
        again = mask_view.tick()
        worst = max(worst, time.monotonic() - began)
        if again is None:
            break
        assert time.monotonic() < deadline, vars(mask_view.view)
        time.sleep(0.01)


def area() -> float:
    """The share of the picture that the mask covers."""
    return sum((right - left) * (top - bottom) for left, bottom, right, top in mask_view.view.drawing.rectangles)


disc = 69 / (60 * 40)  # so many pixels are nearer than 5
image = picture()
choose(image, 20, 30)
bpy.ops.ed.undo_push(message="One point")
mask_view.get_ready(bpy.context, image)
settle()
assert mask_view.view.error is None, mask_view.view.error
assert abs(area() - disc) < 0.01 * disc
middle = mask_view.view.drawing.rectangles[len(mask_view.view.drawing.rectangles) // 2]
assert abs((middle[0] + middle[2]) / 2 - 20.5 / 60) < 0.02
assert abs((middle[1] + middle[3]) / 2 - 9.5 / 40) < 0.03, "y points up in Blender"

mask_view.get_ready(bpy.context, image)
settle()
assert abs(area() - disc) < 0.01 * disc, "who presses Point again loses the mask"

point = image.unocclude.points.add()
point.x, point.y = 40, 10
bpy.ops.ed.undo_push(message="Two points")
settle()
assert abs(area() - 2 * disc) < 0.02 * disc
bpy.ops.ed.undo()
settle()
assert abs(area() - disc) < 0.01 * disc, "undo is not followed"
bpy.ops.ed.redo()
settle()
assert abs(area() - 2 * disc) < 0.02 * disc

image = bpy.context.scene.unocclude.image
bpy.ops.unocclude.clear_points()
settle()
assert area() == 0
image.unocclude.box = (10, 10, 30, 20)
settle()
assert abs(area() - 200 / 2400) < 0.001
assert bpy.ops.unocclude.reconstruct.poll(), "a box is a prompt"
assert bpy.context.scene.unocclude.spec().prompt.box == (10, 10, 30, 20)
point = image.unocclude.points.add()
point.x, point.y, point.negative = 10, 15, True
settle()
assert area() < 200 / 2400
assert bpy.ops.unocclude.remove_point() == {"FINISHED"}
assert bpy.ops.unocclude.remove_point() == {"FINISHED"}
assert not image.unocclude.has_box
assert not bpy.ops.unocclude.remove_point.poll()

point = image.unocclude.points.add()
point.x, point.y = 59, 39
negative = image.unocclude.points.add()
negative.x, negative.y, negative.negative = 59, 39, True
settle()
assert mask_view.view.error.message == "There is nothing at the point."
assert mask_view.view.error.cure

for _ in range(20):  # quicker than answers come
    image.unocclude.points[0].x -= 1
    mask_view.see(image)
    mask_view.tick()
settle()
assert mask_view.view.error is None
assert area() > 0

bpy.data.images.remove(image)
mask_view.tick()
bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
assert area() == 0
assert worst < 0.1, f"a tick took {worst} s"
print("clicking went well")
