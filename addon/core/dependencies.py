"""Make pyzmq importable, the one package that the add-on needs and Blender does not have.

Extensions have their wheels installed by Blender. A classic add-on does it here: into a folder of the user's,
not the add-on's own, because Windows cannot replace or delete a library that is loaded.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ..wire.connection import home_folder

_ADDON = Path(__file__).resolve().parents[1]
WHEELS = (_ADDON / "wheels", _ADDON.parent / "build" / "wheels")
"""Where the wheels are in the package, and in the source tree once it was built."""


def provide_pyzmq(folders: Sequence[Path] = WHEELS, target: Path | None = None) -> None:
    """Where pyzmq is not importable yet, unpack the wheel in `folders` that fits this machine below `target`, by
    default a folder of the user's, and let Python find it there.

    Does nothing where no wheel fits. Raises OSError where the wheel cannot be unpacked.
    """
    if importlib.util.find_spec("zmq") is not None:
        return
    wheels = (path for folder in folders for path in sorted(folder.glob("pyzmq-*.whl")))
    wheel = next((path for path in wheels if _fits(path.name)), None)
    if wheel is None:
        return
    target = target or home_folder() / "packages"
    place = target / wheel.stem
    if not place.exists():
        target.mkdir(parents=True, exist_ok=True)
        draft = tempfile.mkdtemp(dir=target)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(draft)
        os.replace(draft, place)
    sys.path.append(str(place))
    importlib.invalidate_caches()


def _fits(name: str) -> bool:
    """Whether a wheel of this file name is for this Python and system (PEP 427)."""
    python, _, platform = name[: -len(".whl")].split("-")[-3:]
    system, machine = sysconfig.get_platform().split("-", 1)
    if system == "macosx":
        machine = "universal2"
    right_python = python == f"cp{sys.version_info[0]}{sys.version_info[1]}"
    return right_python and system in platform and platform.endswith(machine)
