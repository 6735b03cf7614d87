"""Meshes from outside, among the procedural objects: models of real things, as OBJ, glTF, PLY, STL, OFF or 3MF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image

from unocclude.data.families import Part
from unocclude.data.shapes import Floats, Mesh
from unocclude.data.textures import Texture, random_texture
from unocclude.errors import InputError

Y_UP = (".obj", ".glb", ".gltf")
Z_UP = (".ply", ".stl", ".off", ".3mf")
THIN = 0.06
"""Of the longest side: what is flatter, carpets and windows, hardly has a shape."""
REPAINTED_SHARE = 0.35
"""Of the objects, whose parts get paint of ours."""
RECOLOURED_SHARE = 0.5
"""Of the others, whose channels are exchanged."""
TEXTURE_SIZE = 512
SHARP = np.deg2rad(35)
"""Faces that meet at a larger angle are shaded apart."""


class MeshStock:
    """Draws the painted parts of meshes in folders, each as often as another."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Subfolders are searched too. Raises InputError where there are no meshes."""
        paths = (path for folder in folders for path in folder.rglob("*"))
        self._paths = sorted(path for path in paths if path.suffix.lower() in Y_UP + Z_UP)
        if not self._paths:
            raise InputError(f"No meshes in {', '.join(map(str, folders))}.", f"It looks for {' '.join(Y_UP + Z_UP)}.")

    def draw(self, rng: np.random.Generator) -> list[Part]:
        """One of them, upright, in its own colours, in other ones, or painted anew.

        Raises InputError where none of them can be used.
        """
        found = filter(None, (read_parts(self._paths[k]) for k in rng.permutation(len(self._paths))))
        parts = next(found, None)
        if parts is None:
            raise InputError("None of the meshes can be read, or all are flat.", "Name folders with other meshes.")
        if rng.random() < REPAINTED_SHARE:
            return [Part(part.mesh, random_texture(rng), "box") for part in parts]
        if rng.random() < RECOLOURED_SHARE:
            order = rng.permutation(3)
            return [replace(part, texture=_exchanged(part.texture, order)) for part in parts]
        return parts


def read_parts(path: Path) -> list[Part]:
    """The pieces of a mesh by material, z up. None where it cannot be read, or is too thin to have a shape."""
    try:
        scene = trimesh.load_scene(path, process=False)
        meshes = [g for g in scene.dump() if isinstance(g, trimesh.Trimesh) and len(g.faces)]
        extents = scene.extents
    except Exception:  # trimesh's readers raise whatever a broken file makes them stumble over
        return []
    if not meshes or extents is None or not extents.min() > THIN * extents.max():
        return []
    return [_part(mesh, path.suffix.lower() in Y_UP) for mesh in meshes]


def _part(mesh: trimesh.Trimesh, y_up: bool) -> Part:
    corners, faces = _apart_at_edges(mesh)
    vertices = np.asarray(mesh.vertices, np.float64)[corners]
    if y_up:
        vertices = vertices[:, [0, 2, 1]] * [1, -1, 1]
    form = Mesh(vertices, faces)
    visual: Any = mesh.visual
    material = getattr(visual, "material", None)
    picture = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    uv = getattr(visual, "uv", None)
    if picture is not None and uv is not None:
        return Part(form, _pictured(picture), "own", np.asarray(uv, np.float64)[corners])
    colour = np.asarray(visual.main_color if material is None else material.main_color)
    return Part(form, _plain(colour[:3] / 255.0))


def _apart_at_edges(mesh: trimesh.Trimesh) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(V,) vertices of the mesh, some of them several times, and its faces (F, 3) among these.

    None share a vertex across a sharp edge, so that normals are not blended there.
    """
    soft = mesh.face_adjacency[mesh.face_adjacency_angles < SHARP]
    patch = trimesh.graph.connected_component_labels(soft, len(mesh.faces))
    corners = np.stack([mesh.faces.ravel(), np.repeat(patch, 3)], 1)
    apart, faces = np.unique(corners, axis=0, return_inverse=True)
    return apart[:, 0], faces.reshape(-1, 3)


def _plain(colour: Floats) -> Texture:
    return lambda u, v, p: np.broadcast_to(colour, (len(u), 3))


def _pictured(picture: Image.Image) -> Texture:
    picture = picture.convert("RGB")
    picture.thumbnail((TEXTURE_SIZE, TEXTURE_SIZE))
    pixels = np.asarray(picture) / 255.0
    height, width = pixels.shape[:2]

    def paint(u: Floats, v: Floats, p: Floats) -> Floats:
        return pixels[((1 - v) % 1 * height).astype(int) % height, (u % 1 * width).astype(int) % width]

    return paint


def _exchanged(texture: Texture, order: NDArray[np.int64]) -> Texture:
    return lambda u, v, p: texture(u, v, p)[:, order]
