"""Make a package importable from a wheel that came with the add-on.

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
from pathlib import Path


def provide(module: str, wheels: Path, target: Path) -> None:
    """Make `module` importable, where it is not yet, from the wheel in `wheels` that fits this machine.

    Does nothing where none fits. Raises OSError where the wheel cannot be unpacked.
    """
    if importlib.util.find_spec(module) is not None:
        return
    wheel = next((path for path in sorted(wheels.glob("*.whl")) if _fits(path.name)), None)
    if wheel is None:
        return
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
    """Whether a wheel of this file name is for this Python and system: PEP 427, with one tag of each kind."""
    python, _, platform = name[: -len(".whl")].split("-")[-3:]
    system, machine = sysconfig.get_platform().split("-", 1)
    if system == "macosx":
        machine = "universal2"
    right_python = python == f"cp{sys.version_info[0]}{sys.version_info[1]}"
    return right_python and system in platform and platform.endswith(machine)
