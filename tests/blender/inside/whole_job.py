"""A job from the points on an image to the mesh in the scene."""

import json
from pathlib import Path

import bpy
from support import arguments, choose, install, part, phase, picture, pump

dist, received = map(Path, arguments())
install(dist)


def names() -> dict[str, set[str]]:
    kinds = ("objects", "meshes", "materials", "images", "collections", "cameras")
    return {kind: {thing.name for thing in getattr(bpy.data, kind)} for kind in kinds}


image = picture("cup.png")
choose(image, 20, 30)
point = image.unocclude.points.add()
point.x, point.y, point.negative = 5, 6, True
cube = bpy.data.objects.get("Cube")
bpy.context.scene.cursor.location = (1, 2, 3)
bpy.ops.ed.undo_push(message="Before")
before = set(bpy.data.objects)
names_before = names()

assert bpy.ops.unocclude.reconstruct() == {"FINISHED"}
stages, fractions = set(), []


def placed() -> bool:
    job = part("jobs").session.job
    stages.add(job.headline)
    fractions.append(job.fraction)
    assert phase() != "FAILED", job.error
    return phase() == "PLACED"


pump(placed)
assert {"Finding the visible part", "Imagining the hidden part", "Drawing it from all sides"} <= stages, stages
assert fractions == sorted(fractions), "the bar went back"
assert fractions[-1] == 1.0

(body,) = [thing for thing in set(bpy.data.objects) - before if thing.type == "MESH"]
assert body.type == "MESH"
assert body.name == "cup"
assert body.select_get()
assert bpy.context.view_layer.objects.active == body
assert not (cube and cube.select_get())
assert [collection.name for collection in body.users_collection] == ["Unocclude cup"]
assert [round(value, 4) for value in body.location] == [1, 2, 3.4], "it does not stand at the cursor"
dimensions = [round(value, 4) for value in body.dimensions]
assert dimensions == [0.2, 0.4, 0.8], f"glTF's y is not up here: {dimensions}"
note = json.loads(body["unocclude"])
assert note["spec"]["prompt"] == {"points": [[20.0, 30.0]], "negatives": [[5.0, 6.0]], "box": None}

mesh = body.data
assert (len(mesh.vertices), len(mesh.polygons)) == (8, 12), "not welded"
assert not mesh.validate(), "the mesh needed repair"
assert all(polygon.normal.dot(polygon.center) > 0 for polygon in mesh.polygons), "inside out"
assert len(mesh.uv_layers) == 1
assert {tuple(round(c) for c in corner.uv) for corner in mesh.uv_layers[0].data} == {(0, 0), (1, 0), (0, 1)}

(material,) = mesh.materials
nodes = {node.type: node for node in material.node_tree.nodes}
assert nodes["BSDF_PRINCIPLED"].inputs["Base Color"].links[0].from_node == nodes["TEX_IMAGE"]
assert abs(nodes["BSDF_PRINCIPLED"].inputs["Roughness"].default_value - 0.7) < 1e-6
texture = nodes["TEX_IMAGE"].image
assert texture.packed_file is not None
assert tuple(texture.size) == (64, 64)
assert abs(texture.pixels[0] - 200 / 255) < 0.01

bpy.ops.ed.undo()
assert names() == names_before, "one undo step takes everything away"
bpy.ops.ed.redo()
assert "cup" in bpy.data.objects

(files,) = (Path(bpy.app.tempdir) / "unocclude").iterdir()
received.write_bytes((files / "received").read_bytes())
print("the whole job went well")
