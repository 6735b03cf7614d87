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
    mesh = bpy.data.meshes.new(name)
    faces = len(textured.corners) // 3
    mesh.vertices.add(len(textured.positions) // 3)
    mesh.vertices.foreach_set("co", textured.positions)
    mesh.loops.add(3 * faces)
    mesh.loops.foreach_set("vertex_index", textured.corners)
    mesh.polygons.add(faces)
    mesh.polygons.foreach_set("loop_start", array("i", range(0, 3 * faces, 3)))
    mesh.polygons.foreach_set("loop_total", array("i", [3]) * faces)
    mesh.polygons.foreach_set("use_smooth", [True] * faces)
    mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", textured.uvs)
    mesh.update(calc_edges=True)
    mesh.validate()
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
