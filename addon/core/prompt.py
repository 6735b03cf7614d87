"""From where the artist clicks to the prompt that the backend understands.

Blender's image space runs from (0, 0) at the picture's lower left corner to (1, 1) at its upper right one.
The backend counts pixels: x right, y down, (0, 0) is the pixel at the top left.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from ..wire.protocol import Prompt


class Point(NamedTuple):
    """A pixel of the picture; `negative` where it does not belong to the object."""

    x: int
    y: int
    negative: bool = False


def pixel_at(u: float, v: float, width: int, height: int) -> tuple[int, int] | None:
    """The pixel at this place of Blender's image space, None beside the picture."""
    if not (0 <= u < 1 and 0 < v <= 1):
        return None
    return min(int(u * width), width - 1), min(int((1 - v) * height), height - 1)


def place_of(x: int, y: int, width: int, height: int) -> tuple[float, float]:
    """Where the centre of this pixel lies in Blender's image space."""
    return (x + 0.5) / width, 1 - (y + 0.5) / height


Box: TypeAlias = "tuple[int, int, int, int]"
"""Left, top, right, bottom in pixels, edges at whole numbers."""


def box_between(one: tuple[int, int], other: tuple[int, int]) -> Box:
    """The box that has these pixels in opposite corners."""
    (x0, y0), (x1, y1) = one, other
    return min(x0, x1), min(y0, y1), max(x0, x1) + 1, max(y0, y1) + 1


def prompt_of(points: Iterable[Point], box: Box | None = None) -> Prompt:
    marked = list(points)
    return Prompt(
        points=tuple((float(x), float(y)) for x, y, negative in marked if not negative),
        negatives=tuple((float(x), float(y)) for x, y, negative in marked if negative),
        box=None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
    )
