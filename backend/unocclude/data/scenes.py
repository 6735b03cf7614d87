"""Half-hidden objects: a whole one before a background, an occluder pasted over it (pix2gestalt, arXiv 2401.14398)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from unocclude.data.backgrounds import Backgrounds
from unocclude.data.library import QUERY_VIEWS, ObjectLibrary
from unocclude.data.occluders import random_outline

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

PRINTED_SHARE = 0.25
"""Of the objects, where there are photographs: real things carry pictures, of more kinds than a program draws."""


@dataclass(frozen=True)
class Scene:
    """image (S, S, 3); whole (S, S, 4) the object alone where it stands; masks (S, S) bool.

    `visible` and `occluder` do not overlap; `amodal` is the whole object's alpha.
    """

    image: Picture
    whole: Picture
    visible: Mask
    amodal: Mask
    occluder: Mask


class SceneMaker:
    """Draws scenes from a library of objects and a stock of backgrounds, deterministic by the generator given."""

    def __init__(self, library: ObjectLibrary, backgrounds: Backgrounds, size: int = 256) -> None:
        self._library = library
        self._backgrounds = backgrounds
        self._size = size

    def draw(
        self, rng: np.random.Generator, hidden: tuple[float, float] = (0.2, 0.7), of: Picture | None = None
    ) -> Scene:
        """A scene whose object covers at least 2 % of it and has a share within `hidden` out of sight.

        With a picture `of` an object (S, S, 4), a scene of that, however small it is.
        """
        while True:
            thing = self._object(rng) if of is None else of
            whole = self._place(thing, rng, self._size * rng.uniform(0.25, 0.95), spread=0.25)
            amodal = whole[..., 3] > 127
            if amodal.mean() < 0.02 and of is None:
                continue
            for _ in range(6):
                occluder = self._occluder(rng, amodal)
                visible = amodal & ~(occluder[..., 3] > 127)
                share = 1 - visible.sum() / amodal.sum()
                if hidden[0] <= share <= hidden[1]:
                    return self._compose(rng, whole, occluder, visible, amodal)

    def _compose(
        self, rng: np.random.Generator, whole: Picture, occluder: Picture, visible: Mask, amodal: Mask
    ) -> Scene:
        image = self._backgrounds.draw(rng, self._size)
        for _ in range(int(rng.choice([0, 0, 1, 2]))):
            image = over(image, self._place(self._object(rng), rng, self._size * rng.uniform(0.15, 0.7), spread=0.5))
        for layer in (whole, occluder):
            if rng.random() < 0.35:
                image = _with_shadow(image, layer[..., 3], rng)
            image = over(image, layer)
        return Scene(_photographed(image, rng), whole, visible, amodal, occluder[..., 3] > 127)

    def _object(self, rng: np.random.Generator) -> Picture:
        picture = self._library.query(int(rng.integers(len(self._library))), int(rng.integers(QUERY_VIEWS)))
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        colours = picture[..., :3][..., rng.permutation(3)] if rng.random() < 0.5 else picture[..., :3]
        gamma, gain = rng.uniform(0.7, 1.3), rng.uniform(0.75, 1.25)
        if self._backgrounds.has_photographs and rng.random() < PRINTED_SHARE:
            colours = _printed(colours, self._backgrounds.photograph(rng, len(colours)), rng)
        bright = 255 * gain * (colours / 255.0) ** gamma
        return np.concatenate([np.clip(bright, 0, 255).astype(np.uint8), picture[..., 3:]], -1)

    def _place(
        self,
        rgba: Picture,
        rng: np.random.Generator,
        extent: float,
        spread: float,
        centre: tuple[float, float] | None = None,
    ) -> Picture:
        """On an empty canvas: alpha's longer side becomes `extent` pixels, its centre near the canvas' or `centre`."""
        x0, y0, x1, y1 = Image.fromarray(rgba[..., 3]).getbbox() or (0, 0, *rgba.shape[1::-1])
        scale = extent / max(x1 - x0, y1 - y0)
        size = max(int((x1 - x0) * scale), 4), max(int((y1 - y0) * scale), 4)
        piece = Image.fromarray(rgba).resize(size, Image.Resampling.BICUBIC, (x0, y0, x1, y1))
        if centre is None:
            x, y = self._size * (0.5 + spread * rng.uniform(-1, 1, 2))
        else:
            x, y = centre
        canvas = Image.new("RGBA", (self._size, self._size))
        canvas.paste(piece, (int(x - size[0] / 2), int(y - size[1] / 2)))
        return np.asarray(canvas)

    def _occluder(self, rng: np.random.Generator, amodal: Mask) -> Picture:
        """Something of about the object's size, on its edge or across it."""
        rows, columns = np.nonzero(amodal)
        extent = float(max(np.ptp(rows), np.ptp(columns)) + 1)
        pick = rng.integers(len(rows))
        centre = float(columns[pick]), float(rows[pick])
        if rng.random() < 0.5:
            return self._place(self._object(rng), rng, extent * rng.uniform(0.5, 1.5), 0.0, centre)
        texture = self._backgrounds.draw(rng, self._size)
        return np.concatenate([texture, random_outline(rng, self._size, centre, extent)[..., None]], -1)


@dataclass(frozen=True)
class SceneSource:
    """What a SceneMaker needs, small enough to be sent to another process: folders of objects and of photographs."""

    objects: Path
    photographs: tuple[Path, ...]

    def maker(self) -> SceneMaker:
        """Made once in each process."""
        return _maker(self)


@cache
def _maker(source: SceneSource) -> SceneMaker:
    return SceneMaker(ObjectLibrary.in_folder(source.objects), Backgrounds(list(source.photographs)))


def over(image: Picture, layer: Picture) -> Picture:
    """(S, S, 3) with an RGBA layer on top."""
    alpha = layer[..., 3:].astype(np.float32) / 255
    return np.round(image * (1 - alpha) + layer[..., :3] * alpha).astype(np.uint8)


def _printed(colours: Picture, print_: Picture, rng: np.random.Generator) -> Picture:
    """An object's colours (h, h, 3) with a photograph's on them, lit as its own are: its form stays to be seen."""
    brightness = colours.max(axis=2, keepdims=True).astype(np.float32)
    light = brightness / max(brightness.max(), 1)
    opacity = rng.uniform(0.4, 1.0)
    return ((1 - opacity) * colours + opacity * print_ * light).astype(np.uint8)


def _with_shadow(image: Picture, alpha: Picture, rng: np.random.Generator) -> Picture:
    size = len(image)
    moved = np.roll(alpha, rng.integers(-size // 16, size // 16, 2), axis=(0, 1))
    soft = Image.fromarray(moved).filter(ImageFilter.GaussianBlur(rng.uniform(2, size / 24)))
    return (image * (1 - rng.uniform(0.1, 0.6) * np.asarray(soft)[..., None] / 255.0)).astype(np.uint8)


def _photographed(image: Picture, rng: np.random.Generator) -> Picture:
    """What cameras and the web do: slight blur, noise, JPEG."""
    picture = Image.fromarray(image)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))
    if rng.random() < 0.3:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=int(rng.integers(40, 95)))
        picture = Image.open(stream)
    pixels = np.asarray(picture)
    if rng.random() < 0.3:
        pixels = np.clip(pixels + rng.normal(0, rng.uniform(1, 8), pixels.shape), 0, 255).astype(np.uint8)
    return pixels
