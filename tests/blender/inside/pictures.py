"""Every kind of image goes to the backend as the picture that Blender shows."""

from __future__ import annotations

from array import array
from pathlib import Path

import bpy
from support import arguments, install, part, picture

dist, folder = map(Path, arguments())
install(dist)
pictures = part("picture")


def picture_file(image: bpy.types.Image) -> bytes:
    return pictures.picture_file(image)()


def keep(name: str, image: bpy.types.Image) -> None:
    (folder / name).write_bytes(picture_file(image))


generated = picture("generated")
keep("generated.png", generated)
assert generated.source == "GENERATED", "sending an image changed it"
assert generated.is_dirty

generated.filepath_raw = str(folder / "saved-by-blender.png")
generated.file_format = "PNG"
generated.save()
saved = bpy.data.images.load(str(folder / "saved-by-blender.png"))
assert picture_file(saved) == (folder / "saved-by-blender.png").read_bytes(), "a file on disk travels as it is"

saved.pixels[0:4] = (1.0, 1.0, 1.0, 1.0)
assert saved.is_dirty
keep("changed.png", saved)

packed = bpy.data.images.load(str(folder / "photograph.jpg"))
packed.pack()
(folder / "photograph.jpg").rename(folder / "moved.jpg")
assert picture_file(packed) == (folder / "moved.jpg").read_bytes(), "a packed file travels as it is"

linear = bpy.data.images.new("linear", 2, 1, float_buffer=True)
linear.pixels.foreach_set(array("f", [0.21404, 0.21404, 0.21404, 1.0, 1.0, 0.0, 0.0, 1.0]))
keep("linear.png", linear)

lost = bpy.data.images.load(str(folder / "moved.jpg"))
lost.filepath_raw = str(folder / "nowhere.jpg")
lost.reload()
refused = None
try:
    picture_file(lost)
except part("wire.errors").InputError as error:
    refused = error
assert refused is not None, "an image whose file is gone has no pixels"
assert refused.cure
assert not [image.name for image in bpy.data.images if image.name.startswith("Unocclude")], "a copy was left"
