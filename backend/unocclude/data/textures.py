"""Procedural paint: a texture maps chart coordinates (u around, v upwards, about [0, 1]) and position to colour."""

from __future__ import annotations

import colorsys
import string
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Floats = NDArray[np.float64]
Texture = Callable[[Floats, Floats, Floats], Floats]
"""(u (N,), v (N,), position (N, 3)) -> linear-ish RGB (N, 3) in [0, 1]."""


def random_colour(rng: np.random.Generator) -> Floats:
    """Everyday colours: many greys, whites and browns, and saturated print."""
    kind = rng.random()
    if kind < 0.15:
        return np.full(3, rng.uniform(0.75, 0.97)) * rng.uniform(0.96, 1.0, 3)
    if kind < 0.3:
        return np.full(3, rng.uniform(0.05, 0.7)) * rng.uniform(0.92, 1.0, 3)
    if kind < 0.45:
        return np.array(colorsys.hsv_to_rgb(rng.uniform(0.04, 0.12), rng.uniform(0.3, 0.8), rng.uniform(0.25, 0.9)))
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.35, 1.0), rng.uniform(0.3, 1.0)))


def printed_label(rng: np.random.Generator, size: int = 128) -> Floats:
    """A made-up label (size, size, 3): lines of letters, bars, discs and blocks in few colours."""
    ground, *inks = ([int(255 * c) for c in random_colour(rng)] for _ in range(4))
    picture = Image.new("RGB", (size, size), tuple(ground))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(2, 9)):
        ink = tuple(inks[rng.integers(len(inks))])
        x, y = rng.integers(0, size, 2)
        w, h = rng.integers(size // 10, size // 2, 2)
        kind = rng.integers(5)
        if kind == 0:
            draw.rectangle([x, y, x + w, y + h // 2], fill=ink)
        elif kind == 1:
            draw.ellipse([x - w // 2, y - w // 2, x + w // 2, y + w // 2], fill=ink)
        elif kind == 2:
            draw.rectangle([0, y, size, y + h // 4], fill=ink)
        else:
            letters = "".join(rng.choice(list(string.ascii_letters + string.digits + "  "), rng.integers(3, 12)))
            font = ImageFont.load_default(size=int(rng.integers(size // 12, size // 3)))
            for line in range(rng.integers(1, 4)):
                draw.text((x - w // 2, y + line * h // 3), letters, fill=ink, font=font)
    return np.asarray(picture, dtype=np.float64) / 255


def plain(rng: np.random.Generator) -> Texture:
    colour = random_colour(rng)
    return lambda u, v, p: np.broadcast_to(colour, (len(u), 3))


def stripes(rng: np.random.Generator) -> Texture:
    a, b = random_colour(rng), random_colour(rng)
    count, around, share = rng.integers(2, 14), rng.random() < 0.4, rng.uniform(0.2, 0.8)
    slant = rng.choice([0.0, 0.0, rng.uniform(-1, 1)])

    def paint(u: Floats, v: Floats, p: Floats) -> Floats:
        phase = (u if around else v + slant * u) * count
        return np.where((phase % 1 < share)[:, None], a, b)

    return paint


def checks(rng: np.random.Generator) -> Texture:
    a, b = random_colour(rng), random_colour(rng)
    across, up = 2 * rng.integers(2, 9), rng.integers(3, 12)
    return lambda u, v, p: np.where((((u * across).astype(int) + (v * up).astype(int)) % 2 == 0)[:, None], a, b)


def band(rng: np.random.Generator) -> Texture:
    """A printed label between two heights of an otherwise plain thing."""
    ground, label = random_colour(rng), printed_label(rng)
    low = rng.uniform(0.0, 0.4)
    high = rng.uniform(low + 0.25, 1.0)
    repeats = rng.integers(1, 4)
    size = len(label)

    def paint(u: Floats, v: Floats, p: Floats) -> Floats:
        column = ((u * repeats % 1) * size).astype(int).clip(0, size - 1)
        row = ((1 - (v - low) / (high - low)) * size).astype(int).clip(0, size - 1)
        return np.where(((v > low) & (v < high))[:, None], label[row, column], ground)

    return paint


def print_all_over(rng: np.random.Generator) -> Texture:
    """A label on every side, from top to bottom: cartons and tins."""
    label, repeats = printed_label(rng), rng.integers(1, 4)
    size = len(label)

    def paint(u: Floats, v: Floats, p: Floats) -> Floats:
        column = ((u * repeats % 1) * size).astype(int).clip(0, size - 1)
        return label[((1 - v) * size).astype(int).clip(0, size - 1), column]

    return paint


def parts_by_height(rng: np.random.Generator) -> Texture:
    """Two or three plain zones, one above the other: caps, lids, glazes, two-coloured cups."""
    edges = np.sort(rng.uniform(0.1, 0.95, rng.integers(1, 4)))
    colours = np.stack([random_colour(rng) for _ in range(len(edges) + 1)])
    return lambda u, v, p: colours[np.searchsorted(edges, v)]


def noise(rng: np.random.Generator) -> Texture:
    """Soft blotches between two colours: fruit, stone, worn paint."""
    a, b = random_colour(rng), random_colour(rng)
    waves = rng.normal(0, rng.uniform(3, 14), (6, 3))
    phases = rng.uniform(0, 2 * np.pi, 6)
    sharp = rng.uniform(0.5, 3)

    def paint(u: Floats, v: Floats, p: Floats) -> Floats:
        mix = 1 / (1 + np.exp(-sharp * np.sin(p @ waves.T + phases).sum(axis=1)))
        return a + (b - a) * mix[:, None]

    return paint


def wood(rng: np.random.Generator) -> Texture:
    a = np.array(colorsys.hsv_to_rgb(rng.uniform(0.05, 0.11), rng.uniform(0.4, 0.7), rng.uniform(0.4, 0.8)))
    b = a * rng.uniform(0.5, 0.85)
    axis = rng.normal(0, 1, 3)
    rings, wobble = rng.uniform(10, 40), rng.normal(0, 4, 3)

    def paint(u: Floats, v: Floats, p: Floats) -> Floats:
        grain = np.sin(rings * (p @ axis) + 2 * np.sin(p @ wobble))
        return a + (b - a) * (0.5 + 0.5 * grain[:, None])

    return paint


def gradient(rng: np.random.Generator) -> Texture:
    a, b = random_colour(rng), random_colour(rng)
    return lambda u, v, p: a + (b - a) * np.clip(v, 0, 1)[:, None]


_KINDS = (plain, stripes, checks, band, print_all_over, parts_by_height, noise, wood, gradient)
_SHARES = np.array([0.22, 0.09, 0.05, 0.2, 0.12, 0.13, 0.09, 0.05, 0.05])


def random_texture(rng: np.random.Generator) -> Texture:
    """One of the kinds above, a faint large-scale unevenness on top."""
    base = _KINDS[rng.choice(len(_KINDS), p=_SHARES)](rng)
    direction, phase, depth = rng.normal(0, 4, 3), rng.uniform(0, 6), rng.uniform(0, 0.08)
    return lambda u, v, p: base(u, v, p) * (1 + depth * np.sin(p @ direction + phase))[:, None]
