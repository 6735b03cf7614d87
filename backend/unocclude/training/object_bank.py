"""Objects as the view model's trainings see them: all their views as latents, and what the input views show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from unocclude.cameras import VIEW_COUNT, VIEW_SIZE
from unocclude.data.carving import outlined_and_hollow
from unocclude.data.library import OBJECTS_PER_SHARD, QUERY_VIEWS, ObjectLibrary
from unocclude.models.autoencoder import Autoencoder
from unocclude.models.input_view import prepare
from unocclude.models.view_guess import GuessConfig
from unocclude.training.latents import LatentBank, Tensors, encoded_shards, mirror
from unocclude.training.pictures import on_white, to_bytes, to_tensor
from unocclude.training.thumbnail_start import plain_encoder

INPUT_SIZE = 200
"""Pixels of the input object's longer side, of 256."""
BLURRED_SHARE = 0.5
"""Of input views, in which a part is as vague as a completion's hidden one."""
ELEVATION_ERROR = 5.0
"""Standard deviation, in degrees, of what training is told from the truth: in use, elevations are estimates."""
SHOWN = ("input", "picture")
SHAPE_VERTICES = GuessConfig.bundled().vertices


class ObjectBank:
    """In memory, by object: `target` (16, 4, 32, 32) standardised latents; by its free views: `input` (4, 32, 32) plain
    latents, `picture` (3, 256, 256) uint8 on white, `elevation` in radians, `azimuth_step`, `shape` (2, n^3 / 8) bits.
    """

    def __init__(self, library: Path, latents: Path, autoencoder: Autoencoder) -> None:
        shards = sorted(library.glob("objects_*.safetensors"))
        encode = encoded_shards(shards, latents, lambda path: _encode(path, autoencoder))
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
        bool over (z, y, x): outlined and hollow, see `outlined_and_hollow`.

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
    library = ObjectLibrary([path])
    rng = np.random.default_rng(int(path.stem.rsplit("_", 1)[-1]))
    device, encode = next(autoencoder.parameters()).device, plain_encoder(autoencoder)
    names = ("target", *SHOWN, "elevation", "azimuth_step", "shape")
    rows: dict[str, list[Tensor]] = {name: [] for name in names}
    for index in range(OBJECTS_PER_SHARD):
        targets = F.interpolate(to_tensor(on_white(library.targets(index))), VIEW_SIZE, mode="bilinear").to(device)
        plain = torch.cat([encode(target[None]) for target in targets])
        rows["target"].append(autoencoder.standardise(plain).half().cpu())
        inputs = input_views(library, index, rng).to(device)
        rows["input"].append(torch.cat([encode(x[None]) for x in inputs]).half().cpu())
        rows["picture"].append(to_bytes(inputs[:, :3]))
        steps, elevations = zip(*(library.query_camera(index, v) for v in range(QUERY_VIEWS)), strict=True)
        rows["elevation"].append(torch.deg2rad(torch.tensor(elevations)))
        rows["azimuth_step"].append(torch.tensor(steps))
        depth = torch.from_numpy(library.target_depth(index))
        rows["shape"].append(torch.stack([_shape(depth.roll(-step, 0)) for step in steps]))
    return {name: torch.stack(values) for name, values in rows.items()}


def _shape(depth: Tensor) -> Tensor:
    """(2, n^3 / 8) bits of the shape that maps (16, h, w) of camera z leave."""
    shape = torch.stack(outlined_and_hollow(depth, SHAPE_VERTICES))
    return torch.from_numpy(np.packbits(shape.flatten(1).numpy(), axis=1))


def _unpacked(bits: Tensor) -> Tensor:
    """(B, 2, n, n, n) bool from (B, 2, n^3 / 8) bits."""
    flat = torch.from_numpy(np.unpackbits(bits.numpy(), axis=-1)).bool()
    return flat.reshape(*bits.shape[:2], SHAPE_VERTICES, SHAPE_VERTICES, SHAPE_VERTICES)


def input_views(library: ObjectLibrary, index: int, rng: np.random.Generator) -> Tensor:
    """(QUERY_VIEWS, 4, 256, 256): the free views of an object as the view model is given them, some partly vague."""
    pictures = [library.query(index, view) for view in range(QUERY_VIEWS)]
    return torch.stack([prepare(_partly_vague(picture, rng), INPUT_SIZE) for picture in pictures])


def _partly_vague(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """BLURRED_SHARE of pictures (H, W, 4) lose the detail on one side of a line through the object."""
    if rng.random() > BLURRED_SHARE:
        return picture
    y, x = np.nonzero(picture[..., 3] > 127)
    if len(x) == 0:
        return picture
    through = rng.integers(len(x))
    angle, blur = rng.uniform(0, 2 * np.pi), rng.uniform(3, 10)
    row, column = np.mgrid[: len(picture), : picture.shape[1]]
    beyond = (column - x[through]) * np.cos(angle) + (row - y[through]) * np.sin(angle) > 0
    alpha = picture[..., 3:].astype(np.float32)
    smooth = ndimage.gaussian_filter(np.concatenate([picture[..., :3] * alpha, alpha], -1), (blur, blur, 0))
    colour = smooth[..., :3] / np.maximum(smooth[..., 3:], 1e-3)
    vague = np.rint(np.concatenate([colour, smooth[..., 3:]], -1)).clip(0, 255).astype(np.uint8)
    return np.where(beyond[..., None], vague, picture)
