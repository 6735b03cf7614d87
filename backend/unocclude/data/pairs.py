"""Whole-part pairs in shards: what the completion model sees of a scene, and the whole object it should imagine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from scipy import ndimage

from unocclude.data.clicks import click_inside
from unocclude.data.scenes import Mask, Scene, SceneMaker, SceneSource
from unocclude.data.shards import Arrays, write_shards
from unocclude.errors import InputError
from unocclude.models.profiles import Models
from unocclude.pipeline.crop import crop_around, cut, cut_mask, inside
from unocclude.pipeline.resampling import by_area
from unocclude.pipeline.segment import Segmenter
from unocclude.pipeline.types import Crop, Prompt

PAIRS_PER_SHARD = 250
SIZE = 256
CLICKED_SHARE = 0.4
"""Of the pairs, whose visible mask is what the bundled segmenter makes of a click."""
ROUGH_SHARE = 0.25
"""Of the pairs, whose visible mask is drawn roughly."""
REFRAMED_SHARE = 0.3
"""Of the pairs, framed as the completion's second attempt is, around what the first imagined."""
HARDLY_HIDDEN_SHARE = 0.15
"""Of the pairs, whose object is (nearly) whole: what nothing hides must not grow."""
MEANT, FOUND = 0.7, 0.15
"""A click's mask counts where at least this share of it is the object's, and of what shows of the object is in it."""


@dataclass(frozen=True)
class Pair:
    """All in the crop's frame: image (256, 256, 3), visible (256, 256) 0/255, whole (256, 256, 4)."""

    image: NDArray[np.uint8]
    visible: NDArray[np.uint8]
    whole: NDArray[np.uint8]


def draw_pair(scenes: SceneMaker, segmenter: Segmenter, seed: int, index: int) -> Pair:
    """Number `index` of the endless sequence of `seed`. Crops vary a little; masks do as in use."""
    rng = np.random.default_rng([seed, index])
    scene = scenes.draw(rng, hidden=(0.0, 0.1) if rng.random() < HARDLY_HIDDEN_SHARE else (0.05, 0.8))
    visible = found_mask(scene, segmenter, rng)
    crop = _shifted(crop_around(visible, margin=rng.uniform(0.55, 0.85), size=SIZE), rng)
    if rng.random() < REFRAMED_SHARE:
        imagined = scene.amodal & inside(crop, visible.shape)
        crop = _shifted(crop_around(visible | imagined, margin=rng.uniform(0.35, 0.7), size=SIZE), rng)
    return Pair(cut(scene.image, crop), 255 * cut_mask(visible, crop).astype(np.uint8), _cut_layer(scene.whole, crop))


def found_mask(scene: Scene, segmenter: Segmenter, rng: np.random.Generator) -> Mask:
    """(S, S): the visible part as it may be found in use: right, rough, or from a click. Never empty."""
    kind = rng.random()
    if kind < CLICKED_SHARE:
        return _clicked(scene, segmenter, rng)
    return _rough(scene.visible, rng) if kind < CLICKED_SHARE + ROUGH_SHARE else scene.visible


def _clicked(scene: Scene, segmenter: Segmenter, rng: np.random.Generator) -> Mask:
    """What the segmenter finds with one click: pieces may be missing, and something else may be in it.

    The true mask where it finds nothing, or mostly something else: nobody would go on with that.
    """
    point = click_inside(rng, scene.visible, cell=1, central=rng.random() < 0.5)
    try:
        found = segmenter.embed(scene.image).mask(Prompt(points=(point,)))
    except InputError:
        return scene.visible
    right = (found & scene.visible).sum()
    meant = right > MEANT * found.sum() and right > FOUND * scene.visible.sum()
    return found if meant else scene.visible


def _shifted(crop: Crop, rng: np.random.Generator) -> Crop:
    left, top = rng.normal(0, 0.03 * crop.side, 2).astype(int)
    return Crop(crop.left + int(left), crop.top + int(top), crop.side, SIZE)


def _rough(mask: Mask, rng: np.random.Generator) -> Mask:
    """Grown or shrunk, with bites and crumbs of a few pixels; never empty."""
    reach = int(rng.integers(-3, 4))
    moved = mask
    if reach > 0:
        moved = ndimage.binary_dilation(mask, iterations=reach)
    elif reach < 0:
        moved = ndimage.binary_erosion(mask, iterations=-reach)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, mask.shape), 6)
    edge = ndimage.binary_dilation(mask, iterations=6) & ~ndimage.binary_erosion(mask, iterations=6)
    moved = np.where(edge & (np.abs(noise) > 2 * noise.std()), ~moved, moved)
    return moved if moved.sum() > 50 else mask


def _cut_layer(layer: NDArray[np.uint8], crop: Crop) -> NDArray[np.uint8]:
    """As `cut`, but beyond the image there is nothing."""
    reach = crop.side
    padded = np.pad(layer, ((reach, reach), (reach, reach), (0, 0)))
    top, left = crop.top + reach, crop.left + reach
    return by_area(padded[top : top + crop.side, left : left + crop.side], crop.size, crop.size)


@dataclass(frozen=True)
class PairShards:
    """Shard after shard of the endless sequence of pairs that `seed` starts."""

    scenes: SceneSource
    seed: int

    def __call__(self, shard: int) -> Arrays:
        maker, first = self.scenes.maker(), shard * PAIRS_PER_SHARD
        pairs = [draw_pair(maker, bundled_segmenter(), self.seed, first + k) for k in range(PAIRS_PER_SHARD)]
        return {f.name: np.stack([getattr(p, f.name) for p in pairs]) for f in fields(Pair)}


@cache
def bundled_models() -> Models:
    """Loaded once in each process that makes data."""
    torch.set_num_threads(1)  # the processes share the cores already; and after a fork, more would wait for ever
    return Models("bundled", torch.device("cpu"))


def bundled_segmenter() -> Segmenter:
    return Segmenter(bundled_models().segmenter())


def write_pairs(folder: Path, scenes: SceneSource, count: int, seed: int, workers: int) -> Iterator[Path]:
    """Yields each shard as it is finished. Shards that are there already are kept, so it resumes."""
    return write_shards(folder, "pairs", -(-count // PAIRS_PER_SHARD), PairShards(scenes, seed), workers)


class PairLibrary:
    """Random access to shards of pairs; pictures are read from disk when asked for."""

    def __init__(self, shards: Sequence[Path]) -> None:
        opened = [safe_open(path, "numpy") for path in shards]
        self._slices = [[shard.get_slice(name) for name in ("image", "visible", "whole")] for shard in opened]

    @classmethod
    def in_folder(cls, folder: Path) -> PairLibrary:
        """Raises InputError where there are none."""
        shards = sorted(folder.glob("pairs_*.safetensors"))
        if not shards:
            raise InputError(f"No whole-part pairs in {folder}.", "Make them with `unocclude train pairs`.")
        return cls(shards)

    def __len__(self) -> int:
        return len(self._slices) * PAIRS_PER_SHARD

    def __iter__(self) -> Iterator[Pair]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Pair:
        shard, row = divmod(index, PAIRS_PER_SHARD)
        if shard >= len(self._slices):
            raise IndexError(index)
        return Pair(*(s[row] for s in self._slices[shard]))
