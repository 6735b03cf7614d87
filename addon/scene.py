"""Bring a finished mesh into a scene."""

from __future__ import annotations

import json
from array import array

import bpy
from bpy.types import Context, Image, Material, Mesh, Object, Scene, ViewLayer

from .core.glb import TexturedMesh
from .core.job import Job


def place(job: Job, scene: Scene, view_layer: ViewLayer) -> Object:
    """Put a job's mesh at the 3D cursor, in a collection of its own, selected and active. No undo step."""
    name = job.picture.rpartition(".")[0] or job.picture
    assert job.mesh is not None
    mesh = _mesh(job.mesh, name)
    mesh.materials.append(_material(job.mesh, name))
    body = bpy.data.objects.new(name, mesh)
    body.location = scene.cursor.location
    body["unocclude"] = json.dumps({"job": job.id, "spec": job.spec.to_json()})
    collection = bpy.data.collections.new(f"Unocclude {name}")
    scene.collection.children.link(collection)
    collection.objects.link(body)
    for other in view_layer.objects.selected:
        other.select_set(False, view_layer=view_layer)
    body.select_set(True, view_layer=view_layer)
    view_layer.objects.active = body
    return body


def may_place(context: Context) -> bool:
    """Whether the mesh may come in now: nobody is inside an edit mode, and nothing renders from the data."""
    return context.mode == "OBJECT" and not bpy.app.is_job_running("RENDER")


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
