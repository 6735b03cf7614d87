"""Whole-part pairs in shards: what the completion model sees of a scene, and the whole object it should imagine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from scipy import ndimage

from unocclude.data.scenes import Mask, SceneMaker, SceneSource
from unocclude.data.shards import Arrays, write_shards
from unocclude.errors import InputError
from unocclude.pipeline.crop import crop_around, cut, cut_mask
from unocclude.pipeline.resampling import by_area
from unocclude.pipeline.types import Crop

PAIRS_PER_SHARD = 250
SIZE = 256


@dataclass(frozen=True)
class Pair:
    """All in the crop's frame: image (256, 256, 3), visible (256, 256) 0/255, whole (256, 256, 4)."""

    image: NDArray[np.uint8]
    visible: NDArray[np.uint8]
    whole: NDArray[np.uint8]


def draw_pair(scenes: SceneMaker, seed: int, index: int) -> Pair:
    """Number `index` of the endless sequence of `seed`. Crops vary a little, and masks err as segmenters do."""
    rng = np.random.default_rng([seed, index])
    scene = scenes.draw(rng, hidden=(0.05, 0.8))
    exact = crop_around(scene.visible, margin=rng.uniform(0.55, 0.85), size=SIZE)
    shift = rng.normal(0, 0.03 * exact.side, 2).astype(int)
    crop = Crop(exact.left + int(shift[0]), exact.top + int(shift[1]), exact.side, SIZE)
    visible = _as_segmented(scene.visible, rng) if rng.random() < 0.5 else scene.visible
    return Pair(cut(scene.image, crop), 255 * cut_mask(visible, crop).astype(np.uint8), _cut_layer(scene.whole, crop))


def _as_segmented(mask: Mask, rng: np.random.Generator) -> Mask:
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
        pairs = [draw_pair(maker, self.seed, first + k) for k in range(PAIRS_PER_SHARD)]
        return {f.name: np.stack([getattr(p, f.name) for p in pairs]) for f in fields(Pair)}


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
