"""Outlines of things that get in the way: cut-outs, poles and branches, fences and window frames, hands.

`centre` (x, y) is where such a thing is, `extent` the size in pixels of what it hides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Alpha = NDArray[np.uint8]
Place = tuple[float, float]


def random_outline(rng: np.random.Generator, size: int, centre: Place, extent: float) -> Alpha:
    """(size, size) uint8 alpha of one thing of any kind."""
    canvas = Image.new("L", (size, size))
    outline = _OUTLINES[rng.choice(len(_OUTLINES), p=_SHARES)]
    outline(rng, ImageDraw.Draw(canvas), size, centre, extent)
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.6)))


def _blob(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int, centre: Place, extent: float) -> None:
    """An irregular closed outline, as cut from a photograph."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = np.full(40, extent * rng.uniform(0.25, 0.7))
    for k in range(1, 6):
        radius *= 1 + rng.uniform(0, 0.5 / k) * np.sin(k * angle + rng.uniform(0, 6.3))
    stretch = rng.uniform(0.4, 1.0)
    x = centre[0] + radius * np.cos(angle)
    y = centre[1] + radius * np.sin(angle) * stretch
    draw.polygon(list(zip(x, y, strict=True)), fill=255)


def _strips(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int, centre: Place, extent: float) -> None:
    """Poles, planks, fences: one to four long strips."""
    angle = rng.uniform(0, np.pi)
    for _ in range(rng.integers(1, 5)):
        own = angle + rng.normal(0, 0.3)
        middle = np.array(centre) + rng.normal(0, extent * 0.3, 2)
        reach = np.array([np.cos(own), np.sin(own)]) * size * rng.uniform(0.3, 1.5)
        knots = [middle - reach, middle + rng.normal(0, extent * 0.06, 2), middle + reach]
        draw.line([tuple(k) for k in knots], fill=255, width=int(extent * rng.uniform(0.06, 0.4)) + 2, joint="curve")


def _branch(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int, centre: Place, extent: float) -> None:
    """A forking twig, with leaves as often as not."""
    leaf = extent * rng.uniform(0.05, 0.16) if rng.random() < 0.6 else 0.0
    heading = rng.uniform(0, 2 * np.pi)
    root = np.array(centre) - extent * rng.uniform(0.4, 0.8) * np.array([np.cos(heading), np.sin(heading)])
    ends = [(root, heading, extent * rng.uniform(0.05, 0.12))]
    for _ in range(5):
        grown = []
        for start, own, width in ends:
            tip = start + extent * rng.uniform(0.2, 0.4) * np.array([np.cos(own), np.sin(own)])
            draw.line([tuple(start), tuple(tip)], fill=255, width=max(int(width), 1))
            if leaf:
                x, y = (start + tip) / 2 + rng.normal(0, leaf, 2)
                w, h = leaf * rng.uniform(0.4, 1.3, 2)
                draw.ellipse([x - w, y - h, x + w, y + h], fill=255)
            forks = int(rng.integers(1, 4)) if len(ends) < 8 else 1
            grown += [(tip, own + rng.normal(0, 0.6), width * 0.75) for _ in range(forks)]
        ends = grown


def _lattice(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int, centre: Place, extent: float) -> None:
    """Fences, grids and window frames: two families of parallel bars with holes between."""
    turn = rng.normal(0, 0.15)
    for direction in (turn, turn + np.pi / 2):
        if rng.random() < 0.25:
            continue
        along = np.array([np.cos(direction), np.sin(direction)])
        across = np.array([-along[1], along[0]])
        spacing, width = extent * rng.uniform(0.25, 0.8), int(extent * rng.uniform(0.04, 0.16)) + 1
        for bar in range(-int(rng.integers(0, 4)), int(rng.integers(1, 5))):
            middle = np.array(centre) + bar * spacing * across
            ends = [tuple(middle - size * along), tuple(middle + size * along)]
            draw.line(ends, fill=255, width=width)


def _hand(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: int, centre: Place, extent: float) -> None:
    """An arm, a palm and fingers that reach in from a side."""
    heading = rng.uniform(0, 2 * np.pi)
    palm = extent * rng.uniform(0.15, 0.3)
    forward = np.array([np.cos(heading), np.sin(heading)])
    middle = np.array(centre) - forward * extent * rng.uniform(0.0, 0.4)
    draw.line([tuple(middle - forward * 2 * size), tuple(middle)], fill=255, width=max(int(palm * 1.4), 2))
    _disc(draw, middle, palm)
    for spread in np.linspace(-0.7, 0.7, int(rng.integers(3, 6))) + rng.normal(0, 0.08):
        own = np.array([np.cos(heading + spread), np.sin(heading + spread)])
        knuckle = middle + own * palm * 0.8
        bend = heading + spread + rng.normal(0, 0.25)
        tip = knuckle + np.array([np.cos(bend), np.sin(bend)]) * palm * rng.uniform(0.8, 1.8)
        width = max(palm * 0.42, 2.0)
        draw.line([tuple(knuckle), tuple(tip)], fill=255, width=int(width))
        _disc(draw, tip, width / 2)


def _disc(draw: ImageDraw.ImageDraw, at: NDArray[np.float64], radius: float) -> None:
    x, y = at
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)


_OUTLINES: tuple[Callable[[np.random.Generator, ImageDraw.ImageDraw, int, Place, float], None], ...] = (
    _blob, _strips, _branch, _lattice, _hand,
)  # fmt: skip
_SHARES = np.array([0.45, 0.2, 0.12, 0.1, 0.13])
