"""Find the Python that has the backend installed. It is not Blender's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..wire.connection import PYTHON_NOTE, home_folder
from ..wire.errors import ServerUnavailableError
from ..wire.installation import Installed

ADDON = Path(__file__).resolve().parents[1]
REPOSITORY = ADDON.parent
"""The source tree, where the add-on runs from it; elsewhere a folder without a `.venv`."""


def installation_folder() -> Path:
    """Where the add-on installs the backend, see `installation`."""
    return home_folder() / "installed"


def paired_home(chosen: str) -> Path:
    """The folder of the connection file that `unocclude clients pair` made; `chosen` is the file or its folder."""
    path = Path(chosen).expanduser()
    return path if path.is_dir() else path.parent


def find_python(chosen: str) -> Path:
    """The backend's Python: the one chosen in the preferences, else the one that the add-on installed, else the one
    that ran it last, else the one that belongs to the source tree, else to the `unocclude` command.

    `chosen` is a Python, the `unocclude` command beside one, or a virtual environment's folder; or empty.
    Raises ServerUnavailableError where there is none.
    """
    if chosen:
        found = next(_pythons_at(Path(chosen).expanduser()), None)
        if found is None:
            raise ServerUnavailableError(
                f"There is no Python at {chosen}.", "Choose the backend's Python in the add-on's preferences."
            )
        return found
    installed = Installed.load(installation_folder())
    if installed is not None:
        return installed.python(installation_folder())
    command = shutil.which("unocclude")
    for place in (_noted(), REPOSITORY / ".venv", command and Path(command).resolve()):
        found = next(_pythons_at(place), None) if place else None
        if found is not None:
            return found
    raise ServerUnavailableError(
        "The backend is not installed on this machine.",
        "Install it in the add-on's preferences, or choose its Python there.",
    )


def python_or_reason(chosen: str) -> Path | ServerUnavailableError:
    """The same, with the reason why there is none as a value: a backend that runs needs no Python of ours."""
    try:
        return find_python(chosen)
    except ServerUnavailableError as error:
        return error


def _noted() -> Path | None:
    """What the backend wrote down when it ran last."""
    try:
        return Path((home_folder() / PYTHON_NOTE).read_text(encoding="utf-8"))
    except OSError:
        return None


def _pythons_at(place: Path) -> Iterator[Path]:
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    if place.is_dir():
        places = [place / folder / name, place / name]
    elif place.stem.lower().startswith("python"):
        places = [place]
    else:
        places = [place.parent / name]
    return (path for path in places if path.is_file())
