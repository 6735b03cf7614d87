"""Which devices of this machine get a worker, found without touching any of them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

from unocclude.errors import InputError

AUTO = "auto"
"""A worker that takes the best device it finds."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Environment variable: the GPUs that CUDA shows to a process, by number or name."""


def find_devices() -> tuple[str, ...]:
    """One for each NVIDIA GPU where there are several, else `auto` alone. Asks the driver's own tool."""
    visible = os.environ.get(VISIBLE)
    gpus = _listed() if visible is None else [gpu.strip() for gpu in visible.split(",")]
    return tuple(f"cuda:{gpu}" for gpu in gpus) if len(gpus) > 1 else (AUTO,)


def check_devices(devices: Sequence[str]) -> tuple[str, ...]:
    """Raises InputError where one is not written as a device is."""
    for device in devices:
        if not re.fullmatch(r"auto|cpu|cuda:[\w/-]{1,60}", device):
            raise InputError(f"There is no device “{device}”.", "Write auto, cpu, or cuda: and a number, as in cuda:1.")
    return tuple(devices)


def surroundings(device: str) -> dict[str, str]:
    """Environment variables of a worker on this device. One on a GPU sees no other, so cannot take its memory."""
    kind, _, gpu = device.partition(":")
    if kind != "cuda":
        return {}
    # The tool counts in the order of the slots, CUDA by speed unless it is told.
    order = {} if VISIBLE in os.environ else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return {VISIBLE: gpu, **order}


def _listed() -> list[str]:
    try:
        command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return []
