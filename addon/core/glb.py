"""Read the mesh that the backend sends: a binary glTF with one textured triangle mesh.

Blender's own importer is not used: it is an add-on that may be switched off, needs numpy, which some builds
of Blender lack, and works only in Object Mode, through operators. This reader is plain Python, so it also
runs in the background thread, where it keeps nobody waiting.

glTF 2.0: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ..wire.errors import UnoccludeError

_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_TYPECODES = {5121: "B", 5123: "H", 5125: "I", 5126: "f"}
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TRIANGLES = 4


class MeshFormatError(UnoccludeError):
    """The bytes are not a mesh as the backend writes it."""

    code = "mesh_format"

    def __init__(self, message: str) -> None:
        super().__init__(message, "Update the add-on and the backend to the same version.")


@dataclass(frozen=True)
class TexturedMesh:
    """A triangle mesh in Blender's axes: z up, flat arrays ready for `foreach_set`.

    positions: x, y, z per vertex. Vertices that differ in nothing but their UV are one vertex here.
    corners: three vertex indices per triangle, all different; no two triangles have the same three.
    starts: the index of each triangle's first corner. uvs: u, v per corner, v up.
    texture: the base colour picture, a PNG or JPEG file's bytes. roughness, metallic: in [0, 1].
    """

    positions: array[float]
    corners: array[int]
    starts: array[int]
    uvs: array[float]
    texture: bytes
    roughness: float
    metallic: float


def read(data: bytes) -> TexturedMesh:
    """Raises MeshFormatError."""
    try:
        document, binary = _chunks(data)
        node, primitive = _only_primitive(document)
        attributes = primitive["attributes"]
        positions = _accessor(document, binary, attributes["POSITION"], "VEC3", "f")
        uvs = _accessor(document, binary, attributes["TEXCOORD_0"], "VEC2", "f")
        indices = _accessor(document, binary, primitive["indices"], "SCALAR")
        material = document["materials"][primitive["material"]]["pbrMetallicRoughness"]
        texture = document["textures"][material["baseColorTexture"]["index"]]
        view = document["images"][texture["source"]]["bufferView"]
    except (KeyError, IndexError, TypeError, ValueError, struct.error) as error:
        raise MeshFormatError(f"The mesh is not readable ({type(error).__name__}: {error}).") from error
    count = len(positions) // 3
    if len(indices) % 3 or len(uvs) != 2 * count or (indices and max(indices) >= count):
        raise MeshFormatError("The mesh's faces and vertices do not fit together.")
    if not all(map(isfinite, positions)):
        raise MeshFormatError("The mesh has vertices that are nowhere.")
    vertices, welded = _weld(_z_up(positions, node), indices)
    kept = _sound_triangles(welded)
    return TexturedMesh(
        positions=vertices,
        corners=array("i", [welded[corner] for first in kept for corner in (first, first + 1, first + 2)]),
        starts=array("i", range(0, 3 * len(kept), 3)),
        uvs=_corner_uvs(uvs, [indices[corner] for first in kept for corner in (first, first + 1, first + 2)]),
        texture=bytes(_view(document, binary, view)),
        roughness=float(material.get("roughnessFactor", 1.0)),
        metallic=float(material.get("metallicFactor", 1.0)),
    )


def _chunks(data: bytes) -> tuple[dict[str, Any], memoryview]:
    magic, version, length = struct.unpack_from("<III", data)
    if magic != _MAGIC or version != 2 or length != len(data):
        raise ValueError("not a binary glTF 2.0 file, or cut off")
    size, kind = struct.unpack_from("<II", data, 12)
    start = 20 + size
    binary_size, binary_kind = struct.unpack_from("<II", data, start)
    if kind != _JSON or binary_kind != _BIN or start + 8 + binary_size > length:
        raise ValueError("its chunks are not as they should be")
    return json.loads(data[20:start]), memoryview(data)[start + 8 : start + 8 + binary_size]


def _only_primitive(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    nodes = [node for node in document["nodes"] if "mesh" in node]
    primitives = [primitive for mesh in document["meshes"] for primitive in mesh["primitives"]]
    if len(nodes) != 1 or len(primitives) != 1 or primitives[0].get("mode", _TRIANGLES) != _TRIANGLES:
        raise ValueError("one triangle mesh was expected")
    return nodes[0], primitives[0]


def _view(document: dict[str, Any], binary: memoryview, index: int) -> memoryview:
    view = document["bufferViews"][index]
    if "byteStride" in view:
        raise ValueError("interleaved data is not expected")
    start = view.get("byteOffset", 0)
    part = binary[start : start + view["byteLength"]]
    if len(part) != view["byteLength"]:
        raise ValueError("it is cut off")
    return part


def _accessor(document: dict[str, Any], binary: memoryview, index: int, kind: str, code: str = "") -> array[Any]:
    accessor = document["accessors"][index]
    typecode = _TYPECODES[accessor["componentType"]]
    if accessor["type"] != kind or (code and typecode != code):
        raise ValueError(f"accessor {index} is not as expected")
    values: array[Any] = array(typecode)
    start = accessor.get("byteOffset", 0)
    size = accessor["count"] * _COMPONENTS[kind] * values.itemsize
    part = _view(document, binary, accessor["bufferView"])[start : start + size]
    if len(part) != size:
        raise ValueError("it is cut off")
    values.frombytes(part)
    return values


def _z_up(positions: array[float], node: dict[str, Any]) -> array[float]:
    """From glTF's axes (y up, -z forward) to Blender's: (x, y, z) becomes (x, -z, y)."""
    if node.keys() & {"rotation", "scale", "translation"} or node.get("matrix", _IDENTITY) != _IDENTITY:
        raise MeshFormatError("The mesh comes with a transformation, which is not expected.")
    turned = array("f", positions)
    turned[1::3] = array("f", [-z for z in positions[2::3]])
    turned[2::3] = positions[1::3]
    return turned


_IDENTITY = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


def _weld(positions: array[float], indices: array[int]) -> tuple[array[float], array[int]]:
    """Join vertices of equal position: glTF splits a closed surface along the UV map's seams."""
    first: dict[tuple[float, float, float], int] = {}
    points = zip(positions[0::3], positions[1::3], positions[2::3], strict=True)
    welded = [first.setdefault(point, len(first)) for point in points]
    vertices = array("f", [coordinate for point in first for coordinate in point])
    return vertices, array("i", [welded[index] for index in indices])


def _sound_triangles(corners: array[int]) -> list[int]:
    """The first corner of each triangle that is one and comes for the first time.

    So Blender need not look itself, which would take longer than all else that it does with the mesh.
    """
    seen: set[tuple[int, ...]] = set()
    sound = []
    for first in range(0, len(corners), 3):
        triangle = tuple(sorted(corners[first : first + 3]))
        if triangle[0] < triangle[1] < triangle[2] and triangle not in seen:
            seen.add(triangle)
            sound.append(first)
    return sound


def _corner_uvs(uvs: array[float], indices: Sequence[int]) -> array[float]:
    """One UV per corner; glTF's v points down, Blender's up."""
    corners = array("f", bytes(8 * len(indices)))
    corners[0::2] = array("f", [uvs[2 * index] for index in indices])
    corners[1::2] = array("f", [1.0 - uvs[2 * index + 1] for index in indices])
    return corners
