"""Pictures encoded once and kept: diffusion training then never pays for the autoencoder again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from unocclude.training.loop import Tensors


def encoded_shards(sources: list[Path], folder: Path, encode: Callable[[Path], Tensors]) -> Iterator[Tensors]:
    """`encode` of each source shard, read from `folder` if it was done before. `folder` belongs to one autoencoder."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in tqdm(sources, desc="encoding", unit="shard"):
        path = folder / source.name
        if not path.exists():
            partial = path.with_suffix(".partial")
            save_file(encode(source), partial)
            os.replace(partial, path)
        yield load_file(path)


class LatentBank:
    """Shards of tensors with one row per example, all in memory."""

    def __init__(self, shards: Iterator[Tensors]) -> None:
        collected = list(shards)
        self.tensors: Tensors = {name: torch.cat([s[name] for s in collected]) for name in collected[0]}

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))


def mirror(values: Tensor, which: Tensor) -> Tensor:
    """Left and right exchanged in rows `which` (B,); the bundled autoencoder's block means allow that for latents."""
    return torch.where(which.reshape(-1, *[1] * (values.ndim - 1)), values.flip(-1), values)
