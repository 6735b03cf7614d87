"""What the artist painted on the mask: strokes of a round brush, laid over what was found by pointing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil, floor, hypot, sqrt
from typing import NamedTuple, TypeAlias

from .silhouette import Silhouette

Places: TypeAlias = "tuple[tuple[float, float], ...]"
"""In pixels of the picture, x right, y down from the top left corner."""
STEP = 0.25
"""Between two discs of a stroke, in its radius."""


class Stroke(NamedTuple):
    """The path of the brush's middle and its radius in pixels; `erase` where it takes away."""

    places: Places
    radius: float
    erase: bool = False


class Painting(NamedTuple):
    """Strokes in their order, on a picture of this width and height."""

    strokes: tuple[Stroke, ...]
    size: tuple[int, int]

    def goes_on_from(self, other: Painting) -> bool:
        """Whether it is the other one with further strokes, or none."""
        return self.size == other.size and self.strokes[: len(other.strokes)] == other.strokes

    def after(self, other: Painting) -> Painting:
        """Its strokes that come after those of the other one, from which it goes on."""
        return Painting(self.strokes[len(other.strokes) :], self.size)


def painted(silhouette: Silhouette, painting: Painting) -> Silhouette:
    """The silhouette, as high as the picture, after the strokes."""
    rows = list(silhouette)
    width, height = painting.size
    for stroke in painting.strokes:
        reach: dict[int, int] = {}
        for x, y in _along(stroke.places, max(STEP * stroke.radius, 0.5)):
            for row, span in _disc(x, y, stroke.radius, width, height):
                reach[row] = reach.get(row, 0) | span
        for row, span in reach.items():
            rows[row] = rows[row] & ~span if stroke.erase else rows[row] | span
    return rows


def nothing(painting: Painting) -> Silhouette:
    """The silhouette to begin with where nothing was pointed at."""
    return [0] * painting.size[1]


def places_to_text(places: Iterable[tuple[float, float]]) -> str:
    """As it is kept in a .blend file: tenths of pixels."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def places_from_text(text: str) -> Places:
    """Raises ValueError."""
    pairs = (pair.split(",") for pair in text.split())
    return tuple((float(x), float(y)) for x, y in pairs)


def _along(places: Sequence[tuple[float, float]], step: float) -> Iterator[tuple[float, float]]:
    """The places, and as many between them that none is further than a step from the next."""
    yield from places[:1]
    for (x0, y0), (x1, y1) in pairwise(places):
        count = max(1, ceil(hypot(x1 - x0, y1 - y0) / step))
        yield from ((x0 + k * (x1 - x0) / count, y0 + k * (y1 - y0) / count) for k in range(1, count + 1))


def _disc(x: float, y: float, radius: float, width: int, height: int) -> Iterator[tuple[int, int]]:
    """Row, and the bits of the pixels in it whose centres the disc holds."""
    for row in range(max(0, ceil(y - radius - 0.5)), min(height - 1, floor(y + radius - 0.5)) + 1):
        half = sqrt(max(0.0, radius**2 - (row + 0.5 - y) ** 2))
        first, last = max(0, ceil(x - half - 0.5)), min(width - 1, floor(x + half - 0.5))
        if first <= last:
            yield row, (2 << last) - (1 << first)
