"""Make a mesh that arrived into an object of Blender's."""

from __future__ import annotations

from array import array

import bpy
from bpy.types import Image, Material, Mesh, Object

from .core.glb import TexturedMesh


def make_body(textured: TexturedMesh, name: str) -> Object:
    """The mesh as an object with its material, in no scene yet."""
    mesh = _mesh(textured, name)
    mesh.materials.append(_material(textured, name))
    return bpy.data.objects.new(name, mesh)


def _mesh(textured: TexturedMesh, name: str) -> Mesh:
    """Quickly, for the artist waits; the reader has seen to it that nothing needs repair."""
    mesh = bpy.data.meshes.new(name)
    faces = len(textured.starts)
    mesh.vertices.add(len(textured.positions) // 3)
    mesh.vertices.foreach_set("co", textured.positions)
    mesh.loops.add(3 * faces)
    if ".corner_vert" in mesh.attributes:  # many times as quick, from Blender 3.6 on
        mesh.attributes[".corner_vert"].data.foreach_set("value", textured.corners)
    else:
        mesh.loops.foreach_set("vertex_index", textured.corners)
    mesh.polygons.add(faces)
    mesh.polygons.foreach_set("loop_start", textured.starts)
    mesh.polygons.foreach_set("loop_total", array("i", [3]) * faces)
    if bpy.app.version < (4, 1, 0):  # later they are smooth from the start
        mesh.polygons.foreach_set("use_smooth", [True] * faces)
    layer = mesh.uv_layers.new(name="UVMap", do_init=False)
    if hasattr(layer, "uv"):  # from Blender 3.5 on
        layer.uv.foreach_set("vector", textured.uvs)
    else:
        layer.data.foreach_set("uv", textured.uvs)
    mesh.update(calc_edges=True)
    return mesh


def _material(textured: TexturedMesh, name: str) -> Material:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Roughness"].default_value = textured.roughness
    shader.inputs["Metallic"].default_value = textured.metallic
    texture = nodes.new("ShaderNodeTexImage")
    texture.image = _texture(textured, name)
    texture.location = shader.location.x - 300, shader.location.y
    links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    return material


def _texture(textured: TexturedMesh, name: str) -> Image:
    image = bpy.data.images.new(f"{name} base colour", 1, 1)
    image.pack(data=textured.texture, data_len=len(textured.texture))
    image.source = "FILE"
    return image
