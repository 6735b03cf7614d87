"""How much of a batch goes through a large network at once: by the memory that is free, less when it ran out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from unocclude.errors import UnoccludeError

T = TypeVar("T")
GIB = 2**30


@dataclass(frozen=True)
class MemoryTier:
    """`free`: bytes that must be free for it, weights included. `at_once`: samples or views per pass.

    `encoder_in_ram`: the image encoder, needed once per job, works on the CPU and takes no memory of the device.
    """

    name: str
    free: int
    at_once: int
    encoder_in_ram: bool


TIERS = (
    MemoryTier("roomy", 12 * GIB, at_once=16, encoder_in_ram=False),
    MemoryTier("medium", 6 * GIB, at_once=4, encoder_in_ram=False),
    MemoryTier("lean", 0, at_once=1, encoder_in_ram=True),
)


class OutOfMemoryError(UnoccludeError):
    """Not even the smallest pass fits."""

    code = "out_of_memory"


def tier_for(device: torch.device) -> MemoryTier:
    """By what is free on a GPU now. Elsewhere the medium one: larger passes are no faster there."""
    if device.type != "cuda":
        return TIERS[1]
    free, _ = torch.cuda.mem_get_info(device)
    return next(tier for tier in TIERS if free >= tier.free)


class Passes:
    """Runs work in passes of a size that fits. Once it had to be smaller it stays so."""

    def __init__(self, at_once: int, tell: Callable[[str], None] = lambda message: None) -> None:
        """`tell` hears of each reduction, in a sentence for people."""
        self.at_once = at_once
        self._tell = tell

    def run(self, work: Callable[[int], T]) -> T:
        """`work(n)` does all there is to do, n items at a time. It is begun again, with half of n, when memory ran out.

        Raises OutOfMemoryError where one item at a time is too much.
        """
        while True:
            try:
                return work(self.at_once)
            except torch.OutOfMemoryError as error:
                if self.at_once == 1:
                    raise OutOfMemoryError(
                        "The memory of the device does not suffice, even for the smallest passes.",
                        "Close other programs that use it, or use --device cpu or --profile bundled.",
                    ) from error
            # Out here the exception is gone, and with it the frames that hold the memory.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.at_once //= 2
            self._tell(f"Memory ran out; going on with {self.at_once} at a time, which is slower.")


@contextmanager
def inference(module: nn.Module) -> Iterator[None]:
    """No gradients; where weights are halves, matrix products in half and everything fragile in single precision."""
    half = next((p for p in module.parameters() if p.dtype == torch.float16), None)
    device = "cpu" if half is None else half.device.type
    with torch.inference_mode(), torch.autocast(device, torch.float16, enabled=half is not None):
        yield
