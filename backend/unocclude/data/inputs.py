"""The objects' free views as the view model is given them in use: completed from a half-hidden one, or whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from unocclude.data.library import OBJECTS_PER_SHARD, QUERY_SIZE, QUERY_VIEWS, ObjectLibrary
from unocclude.data.pairs import bundled_models, bundled_segmenter, found_mask
from unocclude.data.scenes import SceneMaker, SceneSource
from unocclude.data.shards import Arrays, write_shards
from unocclude.errors import InputError
from unocclude.pipeline.complete import complete
from unocclude.pipeline.resampling import by_area

COMPLETED_SHARE = 0.5
"""Of the views. The others are whole, as are those that somebody paints, or gives as the completion."""
HIDDEN = (0.05, 0.7)
"""Share of the object that is hidden, before it is completed."""


@dataclass(frozen=True)
class InputShards:
    """Shard after shard: `inputs` (objects, views, 256, 256, 4) of the shard of objects with the same number."""

    scenes: SceneSource
    seed: int

    def __call__(self, shard: int) -> Arrays:
        library, maker = ObjectLibrary.in_folder(self.scenes.objects), self.scenes.maker()
        first = shard * OBJECTS_PER_SHARD
        inputs = np.empty((OBJECTS_PER_SHARD, QUERY_VIEWS, QUERY_SIZE, QUERY_SIZE, 4), np.uint8)
        for k, view in np.ndindex(*inputs.shape[:2]):
            rng = np.random.default_rng([self.seed, first + k, view])
            inputs[k, view] = library.query(first + k, view)
            if rng.random() < COMPLETED_SHARE:
                inputs[k, view] = completed(inputs[k, view], maker, rng)
        return {"inputs": inputs}


def completed(picture: NDArray[np.uint8], scenes: SceneMaker, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(256, 256, 4): the object in a picture (S, S, 4) half hidden in a scene, found, and completed."""
    scene = scenes.draw(rng, HIDDEN, of=picture)
    models = bundled_models()
    profile = models.profile
    made = complete(
        scene.image,
        found_mask(scene, bundled_segmenter(), rng),
        None,
        models.completion(),
        samples=1,
        steps=profile.completion_steps,
        guidance=profile.completion_guidance,
        seed=int(rng.integers(2**31)),
        temperature=profile.completion_temperature,
    )
    return by_area(made.samples[0].rgba, QUERY_SIZE, QUERY_SIZE)


def write_inputs(folder: Path, scenes: SceneSource, objects: int, seed: int, workers: int) -> Iterator[Path]:
    """Yields each shard as it is finished. Shards that are there already are kept, so it resumes."""
    return write_shards(folder, "inputs", -(-objects // OBJECTS_PER_SHARD), InputShards(scenes, seed), workers)


def input_shards(folder: Path) -> list[Path]:
    """In the order of the objects. Raises InputError where there are none."""
    shards = sorted(folder.glob("inputs_*.safetensors"))
    if not shards:
        raise InputError(f"No input views in {folder}.", "Make them with `unocclude train inputs`.")
    return shards


def read_inputs(path: Path) -> NDArray[np.uint8]:
    """(objects, views, 256, 256, 4) of one shard."""
    return load_file(path)["inputs"]
