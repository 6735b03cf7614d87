"""Training data drawn once and kept: files of many examples each, drawn by several processes, resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from numpy.typing import NDArray
from safetensors.numpy import save_file

Arrays = dict[str, NDArray]


def write_shards(folder: Path, prefix: str, count: int, draw: Callable[[int], Arrays], workers: int) -> Iterator[Path]:
    """Fills `folder` with prefix_0000.safetensors, ..., `count` of them, yielding each as it is finished.

    `draw` gives the arrays of one shard from its number alone; it is pickled. Shards that are there already are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{prefix}_{shard:04d}.safetensors" for shard in range(count)]
    with ProcessPoolExecutor(workers) as pool:
        drawn = [pool.submit(_write, path, draw, shard) for shard, path in enumerate(paths) if not path.exists()]
        for future in as_completed(drawn):
            yield future.result()


def _write(path: Path, draw: Callable[[int], Arrays], shard: int) -> Path:
    partial = path.with_suffix(".partial")
    save_file(draw(shard), partial)
    os.replace(partial, path)
    return path
