"""The add-on's reader of meshes against files that another library writes."""

from __future__ import annotations

import json
import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image as Picture
from trimesh.visual.material import PBRMaterial

from addon.core.glb import MeshFormatError, read


def textured(subdivisions: int = 2) -> trimesh.Trimesh:
    """A lopsided ball, cut into separate faces as if each had a seam around it."""
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    mesh.vertices *= (0.1, 0.2, 0.4)
    mesh.unmerge_vertices()
    uv = np.random.default_rng(0).random((len(mesh.vertices), 2))
    picture = Picture.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    material = PBRMaterial(baseColorTexture=picture, roughnessFactor=0.25, metallicFactor=0.5)
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return mesh


def export(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    material = PBRMaterial(baseColorTexture=Picture.new("RGB", (4, 4)))
    mesh.visual = trimesh.visual.TextureVisuals(uv=np.zeros((len(vertices), 2)), material=material)
    return mesh.export(file_type="glb")


def test_shape_uv_and_texture_survive() -> None:
    source = textured()
    mesh = read(source.export(file_type="glb"))
    positions = np.array(mesh.positions).reshape(-1, 3)
    corners = np.array(mesh.corners).reshape(-1, 3)
    x, y, z = np.asarray(source.vertices, np.float32).T
    z_up = np.stack([x, -z, y], axis=1)
    assert np.allclose(positions[corners], z_up[source.faces])
    assert np.allclose(np.array(mesh.uvs).reshape(-1, 3, 2), source.visual.uv[source.faces], atol=1e-6)
    assert np.array_equal(np.asarray(Picture.open(BytesIO(mesh.texture))).ravel(), np.arange(192))
    assert (mesh.roughness, mesh.metallic) == (0.25, 0.5)


def test_seams_are_welded() -> None:
    mesh = read(textured().export(file_type="glb"))
    welded = trimesh.Trimesh(
        np.array(mesh.positions).reshape(-1, 3), np.array(mesh.corners).reshape(-1, 3), process=False
    )
    assert len(welded.vertices) == 162
    assert welded.is_watertight
    assert welded.volume > 0


def edited(change: object) -> bytes:
    """The glTF with its JSON part changed."""
    data = textured(1).export(file_type="glb")
    (size,) = struct.unpack_from("<I", data, 12)
    document = json.loads(data[20 : 20 + size])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest


def positions_of(document: dict[str, Any]) -> dict[str, Any]:
    return document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]


def test_edited_changes_nothing_by_itself() -> None:
    assert read(edited(lambda document: None)) == read(textured(1).export(file_type="glb"))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["materials"].clear(),
        lambda document: document["meshes"][0]["primitives"].append(document["meshes"][0]["primitives"][0]),
        lambda document: document["meshes"][0]["primitives"][0].update(mode=1),
        lambda document: positions_of(document).update(count=10**6),
        lambda document: positions_of(document).update(componentType=5123),
        lambda document: document["bufferViews"][0].update(byteStride=64),
        lambda document: next(node for node in document["nodes"] if "mesh" in node).update(translation=[1, 0, 0]),
        lambda document: document.clear(),
    ],
)
def test_what_is_not_as_expected_is_refused(change: object) -> None:
    with pytest.raises(MeshFormatError) as raised:
        read(edited(change))
    assert raised.value.cure


@pytest.mark.parametrize("cut", [0, 11, 100, -1])
def test_a_file_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(MeshFormatError):
        read(textured(1).export(file_type="glb")[:cut])


def test_triangles_that_are_none_are_left_out() -> None:
    """As long as they are in the file, Blender would have to look for them."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)
    faces = np.array([[0, 1, 2], [3, 1, 2], [0, 3, 1], [0, 2, 1]])
    mesh = read(export(vertices, faces))
    assert mesh.corners.tolist() == [0, 1, 2]
    assert mesh.starts.tolist() == [0]
    assert len(mesh.uvs) == 6


def test_vertices_that_are_nowhere_are_refused() -> None:
    with pytest.raises(MeshFormatError):
        read(export(np.array([[0, 0, 0], [1, 0, 0], [np.nan, 1, 0]], np.float32), np.array([[0, 1, 2]])))
