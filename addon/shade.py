"""Shade a part of the picture in the Image Editor."""

from __future__ import annotations

import gpu
from bpy.types import Region
from gpu_extras.batch import batch_for_shader

from .core.silhouette import Rectangle

Colour = tuple[float, float, float, float]

_batches: dict[Colour, tuple[list[Rectangle], gpu.types.GPUBatch]] = {}
"""The newest of each colour, because making one takes longer than drawing it."""


def draw(region: Region, rectangles: list[Rectangle], colour: Colour) -> None:
    """Over the picture that this region of an Image Editor shows, at whatever zoom."""
    if not rectangles:
        return
    left, bottom = region.view2d.view_to_region(0, 0, clip=False)
    right, top = region.view2d.view_to_region(1, 1, clip=False)
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    if colour not in _batches or _batches[colour][0] is not rectangles:
        _batches[colour] = rectangles, _batch(shader, rectangles)
    with gpu.matrix.push_pop():
        gpu.matrix.translate((left, bottom))
        gpu.matrix.scale((right - left, top - bottom))
        gpu.state.blend_set("ALPHA")
        shader.bind()
        shader.uniform_float("color", colour)
        _batches[colour][1].draw(shader)
        gpu.state.blend_set("NONE")


def _batch(shader: gpu.types.GPUShader, rectangles: list[Rectangle]) -> gpu.types.GPUBatch:
    corners: list[tuple[float, float, float]] = []
    triangles: list[tuple[int, int, int]] = []
    for left, bottom, right, top in rectangles:
        first = len(corners)
        corners += [(left, bottom, 0.0), (right, bottom, 0.0), (right, top, 0.0), (left, top, 0.0)]
        triangles += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
    return batch_for_shader(shader, "TRIS", {"pos": corners}, indices=triangles)


def unregister() -> None:
    _batches.clear()
