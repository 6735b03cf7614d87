"""What lies behind and before objects: pieces of photographs, and procedural rooms, grounds and patterns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from unocclude.data.textures import random_colour

Picture = NDArray[np.uint8]
PHOTOGRAPH_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


class Backgrounds:
    """Draws (size, size, 3) uint8 pictures: photograph crops where photographs are given, procedural ones else."""

    def __init__(self, folders: list[Path], photograph_share: float = 0.75) -> None:
        """`folders` are searched for photographs, subfolders included. An empty list means procedural only."""
        self._photographs: list[Image.Image] = []
        for folder in folders:
            for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTOGRAPH_ENDINGS):
                picture = Image.open(path).convert("RGB")
                picture.thumbnail((1600, 1600))
                if min(picture.size) >= 200:
                    self._photographs.append(picture)
        self._share = photograph_share if self._photographs else 0.0

    @property
    def has_photographs(self) -> bool:
        return bool(self._photographs)

    def draw(self, rng: np.random.Generator, size: int) -> Picture:
        if rng.random() < self._share:
            return self.photograph(rng, size)
        return _PROCEDURAL[rng.integers(len(_PROCEDURAL))](rng, size)

    def photograph(self, rng: np.random.Generator, size: int) -> Picture:
        """A square piece of one of them, which must be there."""
        picture = self._photographs[rng.integers(len(self._photographs))]
        side = int(min(picture.size) * rng.uniform(0.2, 1.0) ** 0.7)
        x = int(rng.integers(0, picture.width - side + 1))
        y = int(rng.integers(0, picture.height - side + 1))
        piece = np.asarray(picture.resize((size, size), Image.Resampling.BOX, (x, y, x + side, y + side)))
        if rng.random() < 0.5:
            piece = piece[:, ::-1]
        gain = rng.uniform(0.6, 1.25) * rng.uniform(0.85, 1.15, 3)
        return np.clip(piece * gain, 0, 255).astype(np.uint8)


def _smooth_noise(rng: np.random.Generator, size: int, cells: int) -> NDArray[np.float64]:
    """(size, size, 3) in [0, 1], soft blobs of about size / cells."""
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)) / 255.0


def _clouds(rng: np.random.Generator, size: int) -> Picture:
    layers = sum(_smooth_noise(rng, size, c) / w for w, c in ((1, 3), (2, 9), (4, 40), (6, size // 2)))
    tinted = (layers - np.mean(layers)) * rng.uniform(0.1, 0.5) + random_colour(rng)
    return (255 * np.clip(tinted, 0, 1)).astype(np.uint8)


def _room(rng: np.random.Generator, size: int) -> Picture:
    """A wall over a table or floor, each with its own faint pattern."""
    rows = np.linspace(0, 1, size)[:, None, None]
    horizon = rng.uniform(0.25, 0.8)
    wall, floor = _plain_or_pattern(rng, size), _plain_or_pattern(rng, size)
    picture = np.where(rows < horizon, wall, floor * (0.7 + 0.3 * rows))
    return (255 * np.clip(picture, 0, 1)).astype(np.uint8)


def _plain_or_pattern(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    base = random_colour(rng) * np.ones((size, size, 3))
    grain = (_smooth_noise(rng, size, int(rng.integers(4, size // 2))) - 0.5) * rng.uniform(0, 0.25)
    if rng.random() < 0.5:
        y, x = np.mgrid[0:size, 0:size] / size
        count, angle = rng.integers(3, 20), rng.uniform(0, np.pi)
        wave = np.sin(2 * np.pi * count * (x * np.cos(angle) + y * np.sin(angle)))
        base = base * (1 - rng.uniform(0.05, 0.4) * (wave > rng.uniform(-0.9, 0.9))[..., None])
    return base + grain


def _bricks(rng: np.random.Generator, size: int) -> Picture:
    rows = int(rng.integers(4, 14))
    brick, mortar = random_colour(rng), random_colour(rng)
    y, x = np.mgrid[0:size, 0:size] / size * rows
    x = x / 2 + 0.5 * (y.astype(int) % 2)
    gap = rng.uniform(0.04, 0.15)
    joint = (y % 1 < gap) | (x % 1 < gap / 2)
    shade = rng.uniform(0.7, 1.1, (rows + 1, rows + 2))[y.astype(int), x.astype(int)]
    picture = np.where(joint[..., None], mortar, brick * shade[..., None]) + (_smooth_noise(rng, size, 60) - 0.5) * 0.15
    return (255 * np.clip(picture, 0, 1)).astype(np.uint8)


def _leaves(rng: np.random.Generator, size: int) -> Picture:
    """Many overlapping ellipses of kindred colours: foliage, pebbles, clutter."""
    colours = [random_colour(rng) for _ in range(3)]
    canvas = Image.new("RGB", (size, size), tuple(int(255 * c) for c in colours[0] * 0.5))
    draw = ImageDraw.Draw(canvas)
    biggest = rng.integers(6, size // 4)
    for _ in range(250):
        colour = np.clip(colours[rng.integers(3)] * rng.uniform(0.5, 1.2), 0, 1)
        x, y = rng.integers(0, size, 2)
        w, h = rng.integers(3, biggest + 1, 2)
        draw.ellipse([x - w, y - h, x + w, y + h], fill=tuple(int(255 * c) for c in colour))
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0, 2))))


_PROCEDURAL = (_clouds, _room, _room, _bricks, _leaves)
