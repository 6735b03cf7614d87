"""Scenes drawn once and kept on disk: drawing one costs about as much time as learning from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from tqdm import tqdm

from unocclude.data.scenes import Scene, SceneSource
from unocclude.data.shards import Arrays, write_shards

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


@dataclass(frozen=True)
class SceneShards:
    """Shard after shard of the endless sequence of scenes that `seed` starts."""

    scenes: SceneSource
    seed: int

    def __call__(self, shard: int) -> Arrays:
        rngs = (np.random.default_rng([self.seed, shard, k]) for k in range(SCENES_PER_SHARD))
        drawn = [self.scenes.maker().draw(rng, hidden=(0.05, 0.7)) for rng in rngs]
        return {"images": np.stack([s.image for s in drawn]), "shares": np.stack([_shares(s) for s in drawn])}


def draw_stock(source: SceneSource, folder: Path, scenes: int, seed: int, workers: int) -> SceneStock:
    """Fills the folder up to at least `scenes`. Shards that are there already are kept."""
    shards = -(-scenes // SCENES_PER_SHARD)
    for _ in tqdm(write_shards(folder, "scenes", shards, SceneShards(source, seed), workers), desc="scenes"):
        pass
    return SceneStock(folder)


def _shares(scene: Scene) -> NDArray[np.uint8]:
    masks = np.stack([scene.visible, scene.occluder])
    cells = masks.shape[-1] // CELL
    return (255 * masks.reshape(2, cells, CELL, cells, CELL).mean(axis=(2, 4))).astype(np.uint8)
