"""Objects as the view model's trainings see them: all their views as latents, and what the input views show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unocclude.cameras import VIEW_COUNT, VIEW_SIZE
from unocclude.data.inputs import input_shards, read_inputs
from unocclude.data.library import FILLED_VERTICES, OBJECTS_PER_SHARD, QUERY_VIEWS, ObjectLibrary
from unocclude.data.outlined import outlined
from unocclude.models.autoencoder import Autoencoder
from unocclude.models.input_view import prepare
from unocclude.training.latents import LatentBank, Tensors, encoded_shards, mirror
from unocclude.training.pictures import on_white, to_bytes, to_tensor
from unocclude.training.thumbnail_start import plain_encoder

INPUT_SIZE = 200
"""Pixels of the input object's longer side, of 256."""
ELEVATION_ERROR = 8.0
"""Standard deviation, in degrees, of what training is told from the truth: in use, elevations are estimates."""
SHOWN = ("input", "picture")


class ObjectBank:
    """In memory, by object: `target` (16, 4, 32, 32) standardised latents; by its free views: `input` (4, 32, 32) plain
    latents, `picture` (3, 256, 256) uint8 on white, `elevation` in radians, `azimuth_step`, `shape` (2, n^3 / 8) bits.
    """

    def __init__(self, folder: Path, autoencoder: Autoencoder) -> None:
        """`folder` has `objects` and `inputs`; it gets `latents/objects`, which belong to this autoencoder."""
        shards = input_shards(folder / "inputs")
        encode = encoded_shards(shards, folder / "latents" / "objects", lambda path: _encode(path, autoencoder))
        self._rows = LatentBank(encode).tensors

    def __len__(self) -> int:
        return len(self._rows["target"])

    def draw(self, rng: np.random.Generator, objects: int, count: int) -> Tensors:
        """`count` of the first `objects` objects, each from one of its free views, half of them mirrored."""
        rows, queries = (torch.from_numpy(rng.integers(0, high, count)) for high in (objects, QUERY_VIEWS))
        batch = self.examples(rows, queries, torch.from_numpy(rng.random(count) < 0.5))
        error = torch.from_numpy(np.deg2rad(rng.normal(0, ELEVATION_ERROR, count))).float()
        return batch | {"elevation": batch["elevation"] + error}

    def held_back(self, objects: int) -> Tensors:
        """The first free view of each of the last `objects` objects."""
        rows = torch.arange(len(self) - objects, len(self))
        return self.examples(rows, torch.zeros_like(rows), torch.zeros(objects, dtype=torch.bool))

    def examples(self, rows: Tensor, queries: Tensor, mirrored: Tensor) -> Tensors:
        """The views of objects (B,), turned so that view 0 has the azimuth of the query (B,); `shape` (B, 2, n, n, n)
        bool over (z, y, x): outlined, and hollow there.

        An object mirrored left to right, as the query sees it, is seen mirrored by view -k where it was seen by view k.
        """
        steps = self._rows["azimuth_step"][rows, queries]
        turn = torch.where(mirrored, -1, 1)[:, None] * torch.arange(VIEW_COUNT)
        found = {"target": self._rows["target"][rows[:, None], (turn + steps[:, None]) % VIEW_COUNT]}
        found |= {name: self._rows[name][rows, queries] for name in SHOWN}
        shape = _unpacked(self._rows["shape"][rows, queries])
        flipped = {name: mirror(values, mirrored) for name, values in found.items()}
        flipped["shape"] = mirror(shape.transpose(-1, -2), mirrored).transpose(-1, -2)
        return flipped | {"elevation": self._rows["elevation"][rows, queries]}


@torch.inference_mode()
def _encode(path: Path, autoencoder: Autoencoder) -> Tensors:
    """Of the objects whose input views are in `path`."""
    number = path.stem.removeprefix("inputs")
    library = ObjectLibrary([path.parent.parent / "objects" / f"objects{number}.safetensors"])
    given = read_inputs(path)
    device, encode = next(autoencoder.parameters()).device, plain_encoder(autoencoder)
    names = ("target", *SHOWN, "elevation", "azimuth_step", "shape")
    rows: dict[str, list[Tensor]] = {name: [] for name in names}
    for index in range(OBJECTS_PER_SHARD):
        targets = F.interpolate(to_tensor(on_white(library.targets(index))), VIEW_SIZE, mode="bilinear").to(device)
        plain = torch.cat([encode(target[None]) for target in targets])
        rows["target"].append(autoencoder.standardise(plain).half().cpu())
        inputs = torch.stack([prepare(picture, INPUT_SIZE) for picture in given[index]]).to(device)
        rows["input"].append(torch.cat([encode(x[None]) for x in inputs]).half().cpu())
        rows["picture"].append(to_bytes(inputs[:, :3]))
        steps, elevations = zip(*(library.query_camera(index, v) for v in range(QUERY_VIEWS)), strict=True)
        rows["elevation"].append(torch.deg2rad(torch.tensor(elevations)))
        rows["azimuth_step"].append(torch.tensor(steps))
        rows["shape"].append(torch.stack([_shape(library, index, view) for view in range(QUERY_VIEWS)]))
    return {name: torch.stack(values) for name, values in rows.items()}


def _shape(library: ObjectLibrary, index: int, view: int) -> Tensor:
    """(2, n^3 / 8) bits: what all views show the object at, and what of that it does not fill, as the query sees it."""
    step, _ = library.query_camera(index, view)
    hull = outlined(torch.from_numpy(library.target_depth(index) > 0).roll(-step, 0), FILLED_VERTICES).numpy()
    shape = np.stack([hull, hull & ~library.filled(index, view)])
    return torch.from_numpy(np.packbits(shape.reshape(2, -1), axis=1))


def _unpacked(bits: Tensor) -> Tensor:
    """(B, 2, n, n, n) bool from (B, 2, n^3 / 8) bits."""
    flat = torch.from_numpy(np.unpackbits(bits.numpy(), axis=-1)).bool()
    return flat.reshape(*bits.shape[:2], FILLED_VERTICES, FILLED_VERTICES, FILLED_VERTICES)
