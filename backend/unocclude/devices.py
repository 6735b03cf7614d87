"""Which device the networks run on. Quick to import, unlike the networks."""

from __future__ import annotations

import torch

from unocclude.errors import InputError


def pick_device(name: str) -> torch.device:
    """`auto` takes the best there is. Raises InputError for one that this machine lacks."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, present in there.items() if present))
    if not there.get(name, False):
        raise InputError(f"There is no device “{name}” here.", "Use --device auto or --device cpu.")
    return torch.device(name)
