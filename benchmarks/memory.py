"""What the official networks hold in memory at the same time, by calculation: no GPU and no weights are needed.

The networks run on tensors that have shapes but no numbers, in the precision that a GPU gets, and every tensor that is
alive counts. What a GPU needs besides is not in it: the CUDA context, the allocator's gaps, workspaces of kernels.

    python benchmarks/memory.py > benchmarks/official_memory.md
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from unocclude.models.memory import TIERS, inference
from unocclude.models.pix2gestalt import Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.profiles import PIX2GESTALT, SYNCDREAMER
from unocclude.models.segmenter import SINGLE, PromptableSegmenter, SegmenterConfig
from unocclude.models.syncdreamer import SyncDreamer, SyncDreamerConfig

PASSES = sorted({tier.at_once for tier in TIERS})


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of all storages that operations make, until they are gone."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._counted: set[int] = set()
        for tensor in (*module.parameters(), *module.buffers()):
            self._count(tensor)

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if id(storage) not in self._counted:
            self._counted.add(id(storage))
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, id(storage), storage.nbytes())

    def _forget(self, storage: int, size: int) -> None:
        self._counted.discard(storage)
        self.now -= size


@contextmanager
def measured(stage: str, module: nn.Module) -> Iterator[Callable[[str], None]]:
    """Gives a function that prints a row of the table: the peak since the row before."""
    with inference(module), LiveTensors(module) as live:

        def row(part: str) -> None:
            print(f"| {stage} | {part} | {live.peak / 2**20:.0f} |", flush=True)
            live.peak = live.now

        yield row


def halved(module: nn.Module, single: tuple[str, ...]) -> None:
    for name, parameter in module.requires_grad_(False).eval().named_parameters():
        if parameter.ndim > 1 and not name.startswith(single):
            parameter.data = parameter.data.half()


def segment() -> None:
    network = PromptableSegmenter(SegmenterConfig.official("h"))
    halved(network, SINGLE)
    with measured("segment (SAM ViT-H)", network) as row:
        network.encode(torch.empty(1, 3, 1024, 1024))
        row("encode the image")


def complete() -> None:
    network = Pix2Gestalt(Pix2GestaltConfig.official())
    halved(network, PIX2GESTALT.single)
    with measured("complete", network) as row:
        picture = torch.empty(1, 3, 256, 256)
        condition = network.encode_condition(picture, picture[:, :1])
        row("encode picture and mask")
        for count in PASSES:
            noisy, t = torch.empty(count, 4, 32, 32), torch.full((count,), 500)
            network.guided(noisy, t, condition.repeat(count), 2.0)
            row(f"a guided step, {count} at once")
        network.decode(torch.empty(1, 4, 32, 32))
        row("decode a sample")


def views() -> None:
    network = SyncDreamer(SyncDreamerConfig.official())
    halved(network, SYNCDREAMER.single)
    with measured("views", network) as row:
        condition = network.encode_input(torch.empty(1, 3, 256, 256), torch.empty(1))
        row("encode the picture")
        noisy, t = torch.empty(1, 16, 4, 32, 32), torch.full((1,), 500)
        volumes, elevation = network.volumes, condition.elevation
        spatial = volumes.spatial(noisy, network.embed_time(t), network.viewpoints(elevation))
        row("the volume of all views")
        for count in PASSES:
            seen = network.view_condition(spatial, t, condition, torch.arange(count)[None])
            network.denoise_views(noisy[0, :count], t.expand(count), seen, 2.0)
            row(f"a guided step, {count} at once")
            del seen
        network.decode(noisy[:, 0])
        row("decode a view")


if __name__ == "__main__":
    print("| stage | part | live tensors, MiB |\n|---|---|---|")
    with FakeTensorMode(allow_non_fake_inputs=True):
        for stage in (segment, complete, views):
            stage()
