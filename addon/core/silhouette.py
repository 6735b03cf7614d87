"""How well a mesh, seen through a camera, covers a mask. Plain Python: some builds of Blender have no numpy.

A row of pixels is one whole number; bit x stands for the pixel in column x. That makes filling and comparing quick.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from math import ceil, floor
from typing import NamedTuple, TypeAlias

Silhouette: TypeAlias = "list[int]"
"""One whole number per row, top row first."""
Rectangle: TypeAlias = "tuple[float, float, float, float]"
"""Left, bottom, right, top in the picture's unit square, y up, as Blender has it."""
Edge: TypeAlias = "tuple[tuple[float, float], tuple[float, float]]"
"""From one place of that square to another."""


class Drawing(NamedTuple):
    """What to draw of a silhouette: the runs of its rows, and the edges all around it."""

    rectangles: list[Rectangle]
    edges: list[Edge]


NO_DRAWING = Drawing([], [])


def draw(places: Sequence[tuple[float, float]], corners: array[int], width: int, height: int) -> Silhouette:
    """The silhouette of triangles. `places` are the vertices in pixels, x right, y down from the top left corner,
    `corners` three of them per triangle. A pixel belongs to a triangle that its centre lies in."""
    rows = [0] * height
    for a, b, c in zip(corners[0::3], corners[1::3], corners[2::3], strict=True):
        (ax, ay), (bx, by), (cx, cy) = triangle = sorted((places[a], places[b], places[c]), key=lambda place: place[1])
        first, last = max(0, ceil(ay - 0.5)), min(height - 1, floor(cy - 0.5))
        for row in range(first, last + 1):
            y = row + 0.5
            long_edge = ax + (cx - ax) * (y - ay) / (cy - ay)
            if y < by:
                short_edge = ax + (bx - ax) * (y - ay) / (by - ay)
            elif cy > by:
                short_edge = bx + (cx - bx) * (y - by) / (cy - by)
            else:
                short_edge = triangle[1][0]
            left, right = (long_edge, short_edge) if long_edge < short_edge else (short_edge, long_edge)
            start, end = max(0, ceil(left - 0.5)), min(width - 1, floor(right - 0.5))
            if start <= end:
                rows[row] |= (2 << end) - (1 << start)
    return rows


def intersection_over_union(one: Silhouette, other: Silhouette) -> float:
    """Of two silhouettes of the same height: 1 where they are the same, 0 where they have nothing in common."""
    union = sum(_count(a | b) for a, b in zip(one, other, strict=True))
    return sum(_count(a & b) for a, b in zip(one, other, strict=True)) / union if union else 0.0


def drawing_of(silhouette: Silhouette, width: int, most_rows: int = 800) -> Drawing:
    """Of a silhouette of this width. Of a higher one, so many rows are looked at."""
    height = len(silhouette)
    step = max(1, -(-height // most_rows))
    rows = silhouette[::step]
    heights = [1 - min(row * step, height) / height for row in range(len(rows) + 1)]
    rectangles = [
        (left / width, heights[number + 1], right / width, heights[number])
        for number, row in enumerate(rows)
        for left, right in _runs(row)
    ]
    sides = [((x, bottom), (x, top)) for left, bottom, right, top in rectangles for x in (left, right)]
    levels = [
        ((left / width, y), (right / width, y))
        for y, above, below in zip(heights, [0, *rows], [*rows, 0], strict=True)
        for left, right in _runs(above ^ below)
    ]
    return Drawing(rectangles, sides + levels)


def _runs(row: int) -> Iterator[tuple[int, int]]:
    """First column, and the column after the last, of what belongs together in a row."""
    bits = f"{row:b}"[::-1] + "0"
    left = bits.find("1")
    while left >= 0:
        right = bits.find("0", left)
        yield left, right
        left = bits.find("1", right)


def _count(row: int) -> int:
    return bin(row).count("1")
