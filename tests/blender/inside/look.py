"""Say what a .blend file holds."""

import bpy
from support import arguments

bpy.ops.wm.open_mainfile(filepath=arguments()[0])
for body in [thing for thing in bpy.data.objects if thing.type == "MESH"]:
    (material,) = body.data.materials
    textured = any(node.type == "TEX_IMAGE" and node.image.packed_file for node in material.node_tree.nodes)
    (collection,) = body.users_collection
    print(
        f"{body.name} in {collection.name}: {len(body.data.vertices)} vertices, {'textured' if textured else 'plain'}"
    )
