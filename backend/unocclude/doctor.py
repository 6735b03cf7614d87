"""What this machine has, what works, and what to do about the rest."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata

from unocclude import __version__
from unocclude.errors import UnoccludeError
from unocclude.models.model_folder import ModelFolder
from unocclude.models.registry import BUNDLED, BUNDLED_FILES, NEEDED


def examine() -> str:
    """A line per fact; lines that ask for something begin with “!”."""
    lines = [
        f"unocclude   {__version__}, Python {platform.python_version()} at {sys.executable}",
        f"system      {platform.platform()}",
        *_torch(),
        *_weights(),
        *_backend(),
    ]
    return "\n".join(lines)


def _torch() -> list[str]:
    try:
        import torch

        from unocclude.models.memory import tier_for
    except ImportError as error:
        return [f"! torch      cannot be imported ({error}). Install again as the README says."]
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        tier = tier_for(torch.device("cuda"))
        return [
            f"torch       {torch.__version__}",
            f"GPU         {torch.cuda.get_device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free:"
            f" memory tier “{tier.name}”",
        ]
    lines = [
        f"torch       {torch.__version__}",
        "GPU         none that torch can use; the CPU does the bundled profile",
    ]
    if torch.backends.mps.is_available():
        lines[1] = "GPU         Apple (mps)"
    elif shutil.which("nvidia-smi"):
        lines.append("! There is an NVIDIA driver, but this torch has no CUDA: install the CUDA build, see the README.")
    return lines


def _weights() -> list[str]:
    missing = [name for name in BUNDLED_FILES if not (BUNDLED / name).is_file()]
    if missing:
        return [f"! weights    bundled files missing: {', '.join(missing)}. Reinstall unocclude."]
    size = sum((BUNDLED / name).stat().st_size for name in BUNDLED_FILES)
    return [f"weights     bundled, {size / 2**20:.1f} MiB", _official_weights()]


def _official_weights() -> str:
    folder = ModelFolder()
    here = [file for file in NEEDED if folder.has(file)]
    rest = "" if len(here) == len(NEEDED) else "; get the rest with: unocclude models download"
    return f"            official, {len(here)} of {len(NEEDED)} files in {folder.path}{rest}"


def _backend() -> list[str]:
    from unocclude.client import Client

    try:
        with Client(patience=1) as client:
            status = client.status()
        workers = ", ".join(f"{worker.device} {worker.state}" for worker in status.workers)
        return [f"backend     runs: {workers}; {status.queued} waiting (pyzmq {metadata.version('pyzmq')})"]
    except UnoccludeError as error:
        return [f"backend     {error}"]
