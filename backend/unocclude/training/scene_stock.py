"""Scenes drawn once and kept on disk: drawing one costs about as much time as learning from it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from tqdm import tqdm

from unocclude.data.scenes import Scene, SceneMaker

SCENES_PER_SHARD = 250
CELL = 4
"""Masks are kept at a quarter of the pictures' resolution, as the share of each cell that they fill."""


class SceneStock:
    """A folder of shards. Random access; scenes are read from disk when asked for."""

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError if there are no shards."""
        paths = sorted(folder.glob("scenes_*.safetensors"))
        if not paths:
            raise FileNotFoundError(f"No scenes_*.safetensors in {folder}.")
        self._shards = [safe_open(path, "numpy") for path in paths]

    def __len__(self) -> int:
        return len(self._shards) * SCENES_PER_SHARD

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """(S, S, 3) picture and (2, S/4, S/4) shares, in 255ths, of the object's visible part and of its occluder."""
        shard, row = divmod(index, SCENES_PER_SHARD)
        images, shares = (self._shards[shard].get_slice(name)[row : row + 1][0] for name in ("images", "shares"))
        return images, shares


def draw_stock(maker: SceneMaker, folder: Path, scenes: int, seed: int) -> SceneStock:
    """Fills the folder up to at least `scenes`. Shards that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in tqdm(range(-(-scenes // SCENES_PER_SHARD)), desc="scenes", unit="shard"):
        path = folder / f"scenes_{shard:04d}.safetensors"
        if not path.exists():
            rngs = (np.random.default_rng([seed, shard, k]) for k in range(SCENES_PER_SHARD))
            drawn = [maker.draw(rng, hidden=(0.05, 0.7)) for rng in rngs]
            partial = path.with_suffix(".partial")
            images, shares = np.stack([s.image for s in drawn]), np.stack([_shares(s) for s in drawn])
            save_file({"images": images, "shares": shares}, partial)
            os.replace(partial, path)
    return SceneStock(folder)


def _shares(scene: Scene) -> NDArray[np.uint8]:
    masks = np.stack([scene.visible, scene.occluder])
    cells = masks.shape[-1] // CELL
    return (255 * masks.reshape(2, cells, CELL, cells, CELL).mean(axis=(2, 4))).astype(np.uint8)
