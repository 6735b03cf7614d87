from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image as PilImage
from unocclude.pipeline.export import glb_bytes, vertex_normals, write_glb
from unocclude.pipeline.types import TexturedMesh


@pytest.fixture
def mesh() -> TexturedMesh:
    """A pyramid with its tip up (+z) and a texture with a red first row."""
    vertices = np.array([[0.3, 0, 0], [0, 0.3, 0], [-0.3, -0.2, 0], [0, 0, 0.5]], np.float32)
    faces = np.array([[0, 1, 3], [1, 2, 3], [2, 0, 3], [1, 0, 2]], np.int32)
    uv = np.array([[0.1, 0.2], [0.9, 0.2], [0.5, 0.3], [0.5, 0.95]], np.float32)
    texture = np.random.default_rng(0).integers(0, 200, (16, 16, 3)).astype(np.uint8)
    texture[0] = [255, 0, 0]
    return TexturedMesh(vertices, faces, uv, texture)


def document(data: bytes) -> dict:
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack("<I4s", data[12:20])
    assert kind == b"JSON"
    return json.loads(data[20 : 20 + size])


def test_gltf_is_y_up_and_a_quarter_turn_about_x_brings_the_frame_back(mesh: TexturedMesh) -> None:
    loaded = trimesh.load(io.BytesIO(glb_bytes(mesh)), file_type="glb", force="mesh", process=False)
    assert loaded.vertices[:, 1].max() == pytest.approx(0.5)
    turn = trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0])[:3, :3]
    np.testing.assert_allclose(loaded.vertices @ turn.T, mesh.vertices, atol=1e-6)
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    assert loaded.volume > 0


def test_uv_texture_and_material_survive(mesh: TexturedMesh) -> None:
    loaded = trimesh.load(io.BytesIO(glb_bytes(mesh)), file_type="glb", force="mesh", process=False)
    np.testing.assert_allclose(loaded.visual.uv, mesh.uv, atol=1e-6)
    material = loaded.visual.material
    np.testing.assert_array_equal(np.asarray(material.baseColorTexture.convert("RGB")), mesh.texture)
    assert material.metallicFactor == 0
    assert material.roughnessFactor == 0.75


def test_extras_and_determinism(mesh: TexturedMesh, tmp_path) -> None:
    extras = {"seed": 7, "profile": "bundled"}
    write_glb(mesh, tmp_path / "mesh.glb", extras)
    data = (tmp_path / "mesh.glb").read_bytes()
    assert data == glb_bytes(mesh, dict(reversed(extras.items())))
    assert document(data)["asset"]["extras"] == extras


def test_buffer_views_are_aligned_and_bounds_are_true(mesh: TexturedMesh) -> None:
    data = glb_bytes(mesh)
    written = document(data)
    assert len(data) % 4 == 0
    assert all(view["byteOffset"] % 4 == 0 for view in written["bufferViews"])
    assert written["accessors"][0]["max"][1] == pytest.approx(0.5)
    last = written["bufferViews"][-1]
    start = len(data) - written["buffers"][0]["byteLength"] + last["byteOffset"]
    picture = PilImage.open(io.BytesIO(data[start : start + last["byteLength"]]))
    assert picture.size == (16, 16)


def test_normals_point_outward_and_are_shared_across_seams(mesh: TexturedMesh) -> None:
    normals = vertex_normals(mesh.vertices, mesh.faces)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, rtol=1e-5)
    assert normals[3, 2] > 0.9
    split = mesh.faces.copy()
    split[0, 2] = 4  # the tip, once more
    doubled = vertex_normals(np.concatenate([mesh.vertices, mesh.vertices[3:]]), split)
    np.testing.assert_allclose(doubled[3], normals[3], atol=1e-6)
    np.testing.assert_allclose(doubled[4], normals[3], atol=1e-6)
