"""The artist paints on the mask, with and without a point, takes a stroke back, and has that reconstructed."""

from pathlib import Path

import bpy
from support import arguments, choose, install, part, phase, picture, pump

install(Path(arguments()[0]))
jobs, mask_view, strokes = part("jobs"), part("mask_view"), part("core.strokes")
image = picture()


def paint(*places: tuple[float, float], radius: float, erase: bool = False) -> None:
    stroke = image.unocclude.strokes.add()
    stroke.places, stroke.radius, stroke.erase = strokes.places_to_text(places), radius, erase


def sent() -> list[list[int]]:
    """The mask that the backend got, rows from the top."""
    mask = bpy.data.images.load(str(jobs._results() / jobs.session.job.id / "received_mask"))
    width, height = mask.size
    light = [round(value) for value in mask.pixels[:][0::4]]
    return [light[row * width : (row + 1) * width] for row in reversed(range(height))]


def drawn() -> float:
    """The share of the picture that is shaded."""
    mask_view.see(image)
    while mask_view.tick() is not None:
        pass
    shade = mask_view.mask_of(image)
    return sum((right - left) * (top - bottom) for left, bottom, right, top in shade.rectangles)


paint((40, 10), (50, 10), radius=4)
bpy.context.scene.unocclude.image = image
assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}, "a painted mask says enough"
pump(lambda: phase() in {"PLACED", "FAILED"})
mask = sent()
assert (len(mask), len(mask[0])) == (40, 60)
assert [mask[10][x] for x in (34, 37, 45, 53, 56)] == [0, 1, 1, 1, 0]
assert sum(map(sum, mask)) == round(drawn() * 60 * 40)

choose(image, 20, 30)
paint((20, 30), radius=2, erase=True)
assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}
pump(lambda: phase() in {"PLACED", "FAILED"})
mask = sent()
assert (mask[30][20], mask[30][23], mask[10][45]) == (0, 1, 1), "the strokes go over what the point found"
assert sum(map(sum, mask)) == round(drawn() * 60 * 40)

assert bpy.ops.unocclude.remove_point() == {"FINISHED"}
assert [stroke.erase for stroke in image.unocclude.strokes] == [False], "the last stroke goes first"
more = sum(map(sum, mask))
assert round(drawn() * 60 * 40) > more
assert bpy.ops.unocclude.clear_points() == {"FINISHED"}
assert not image.unocclude.says_something
assert drawn() == 0
