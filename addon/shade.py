"""Shade a part of the picture in the Image Editor, and draw a line around it."""

from __future__ import annotations

from typing import NamedTuple

import bpy
import gpu
from bpy.types import Region
from gpu_extras.batch import batch_for_shader

from .core.silhouette import Drawing, Rectangle

Colour = tuple[float, float, float, float]
LINE = 1.5
"""Pixels of the screen at the normal size of Blender's interface."""


class _Batches(NamedTuple):
    drawing: Drawing
    shade: gpu.types.GPUBatch
    line: gpu.types.GPUBatch


_newest: dict[Colour, _Batches] = {}
"""Of each colour, because making one takes longer than drawing it."""


def draw(region: Region, drawing: Drawing, colour: Colour) -> None:
    """Over the picture that this region of an Image Editor shows, at whatever zoom."""
    if not drawing.rectangles:
        return
    left, bottom = region.view2d.view_to_region(0, 0, clip=False)
    right, top = region.view2d.view_to_region(1, 1, clip=False)
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    liner = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    if colour not in _newest or _newest[colour].drawing is not drawing:
        places = [(x, y, 0.0) for edge in drawing.edges for x, y in edge]
        line = batch_for_shader(liner, "LINES", {"pos": places})
        _newest[colour] = _Batches(drawing, _shade(shader, drawing.rectangles), line)
    with gpu.matrix.push_pop():
        gpu.matrix.translate((left, bottom))
        gpu.matrix.scale((right - left, top - bottom))
        gpu.state.blend_set("ALPHA")
        shader.bind()
        shader.uniform_float("color", colour)
        _newest[colour].shade.draw(shader)
        liner.bind()
        liner.uniform_float("viewportSize", (region.width, region.height))
        liner.uniform_float("lineWidth", LINE * bpy.context.preferences.system.ui_scale)
        liner.uniform_float("color", _light(colour))
        _newest[colour].line.draw(liner)
        gpu.state.blend_set("NONE")


def _shade(shader: gpu.types.GPUShader, rectangles: list[Rectangle]) -> gpu.types.GPUBatch:
    corners: list[tuple[float, float, float]] = []
    triangles: list[tuple[int, int, int]] = []
    for left, bottom, right, top in rectangles:
        first = len(corners)
        corners += [(left, bottom, 0.0), (right, bottom, 0.0), (right, top, 0.0), (left, top, 0.0)]
        triangles += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
    return batch_for_shader(shader, "TRIS", {"pos": corners}, indices=triangles)


def _light(colour: Colour) -> Colour:
    """Much lighter and opaque: to be seen on a picture of the same colour."""
    red, green, blue, _ = colour
    return 0.65 + 0.35 * red, 0.65 + 0.35 * green, 0.65 + 0.35 * blue, 1.0


def unregister() -> None:
    _newest.clear()
