"""A textured mesh as one glTF 2.0 binary file, the same bytes for the same mesh."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from unocclude import __version__
from unocclude.pipeline.types import TexturedMesh

ROUGHNESS = 0.75
FLOAT, UNSIGNED_INT = 5126, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071


def write_glb(mesh: TexturedMesh, path: Path, extras: Mapping[str, object] | None = None) -> None:
    """Write `glb_bytes(mesh, extras)`."""
    path.write_bytes(glb_bytes(mesh, extras))


def glb_bytes(mesh: TexturedMesh, extras: Mapping[str, object] | None = None) -> bytes:
    """GLB with one matt material. `extras` (seed, profile, …) are put under `asset.extras`.

    glTF is y-up: turned +90 degrees about X, the stored mesh is back in the z-up frame of `mesh`.
    """
    positions = to_gltf_axes(mesh.vertices)
    normals = to_gltf_axes(vertex_normals(mesh.vertices, mesh.faces))
    uv = np.stack([mesh.uv[:, 0], 1.0 - mesh.uv[:, 1]], 1).astype(np.float32)  # glTF's v points down
    image = io.BytesIO()
    PillowImage.fromarray(mesh.texture).save(image, "PNG")
    indices = np.ascontiguousarray(mesh.faces, np.uint32)
    blocks = [positions.tobytes(), normals.tobytes(), uv.tobytes(), indices.tobytes(), image.getvalue()]
    buffer, views = _pack(blocks)
    for view, target in zip(views, [*[ARRAY_BUFFER] * 3, ELEMENT_ARRAY_BUFFER], strict=False):
        view["target"] = target
    document = {
        "asset": {"version": "2.0", "generator": f"unocclude {__version__}", "extras": dict(extras or {})},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "object"}],
        "meshes": [
            {
                "name": "object",
                "primitives": [
                    {
                        "attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2},
                        "indices": 3,
                        "material": 0,
                    }
                ],
            }
        ],
        "materials": [
            {
                "name": "base colour",
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0},
                    "metallicFactor": 0.0,
                    "roughnessFactor": ROUGHNESS,
                },
            }
        ],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [
            {
                "magFilter": LINEAR,
                "minFilter": LINEAR_MIPMAP_LINEAR,
                "wrapS": CLAMP_TO_EDGE,
                "wrapT": CLAMP_TO_EDGE,
            }
        ],
        "images": [{"bufferView": 4, "mimeType": "image/png", "name": "base colour"}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": FLOAT,
                "count": len(positions),
                "type": "VEC3",
                "min": positions.min(0).tolist(),
                "max": positions.max(0).tolist(),
            },
            {"bufferView": 1, "componentType": FLOAT, "count": len(normals), "type": "VEC3"},
            {"bufferView": 2, "componentType": FLOAT, "count": len(uv), "type": "VEC2"},
            {"bufferView": 3, "componentType": UNSIGNED_INT, "count": indices.size, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(buffer)}],
    }
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    return _container(text + b" " * (-len(text) % 4), buffer)


def to_gltf_axes(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 3) z-up to y-up: -90 degrees about X."""
    return np.stack([vectors[:, 0], vectors[:, 2], -vectors[:, 1]], 1).astype(np.float32)


def vertex_normals(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.float32]:
    """(V, 3) unit normals, area-weighted; vertices that a UV seam has split in two share one normal."""
    _, same = np.unique(vertices, axis=0, return_inverse=True)
    same = same.reshape(-1)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    area_normals = np.cross(b - a, c - a)
    sums = np.zeros((same.max() + 1, 3))
    for corner in range(3):
        np.add.at(sums, same[faces[:, corner]], area_normals)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    normals = np.where(length > 0, sums / np.maximum(length, 1e-30), [0.0, 0.0, 1.0])
    return normals[same].astype(np.float32)


def _pack(blocks: list[bytes]) -> tuple[bytes, list[dict[str, int]]]:
    """Blocks one after another, each starting at a multiple of four."""
    buffer, views = b"", []
    for block in blocks:
        views.append({"buffer": 0, "byteOffset": len(buffer), "byteLength": len(block)})
        buffer += block + b"\0" * (-len(block) % 4)
    return buffer, views


def _container(text: bytes, buffer: bytes) -> bytes:
    """The GLB container (glTF 2.0 specification, section 4): a header, a JSON chunk and a binary chunk."""
    total = 12 + 8 + len(text) + 8 + len(buffer)
    return b"".join(
        [
            struct.pack("<4sII", b"glTF", 2, total),
            struct.pack("<I4s", len(text), b"JSON"),
            text,
            struct.pack("<I4s", len(buffer), b"BIN\0"),
            buffer,
        ]
    )
