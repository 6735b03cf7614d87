"""Which backend is used: this machine's own, or that of another machine which this one was paired with."""

from __future__ import annotations

from pathlib import Path

import bpy

from .core.backend import paired_home, python_or_reason
from .preferences import preferences
from .wire.connection import home_folder
from .wire.errors import ServerUnavailableError


def is_elsewhere() -> bool:
    return bool(_connection())


def backend_home() -> Path:
    """The folder of the connection file."""
    return paired_home(_connection()) if is_elsewhere() else home_folder()


def starting_python() -> Path | ServerUnavailableError:
    """What to start the backend with, or the reason why there is nothing: one that runs needs no Python of ours."""
    if is_elsewhere():
        return ServerUnavailableError(
            "The backend on the other machine does not answer.",
            "Start it there with `unocclude serve`, and see that nothing blocks the way to it.",
        )
    return python_or_reason(preferences().python)


def _connection() -> str:
    """Empty also where the add-on was enabled for this run alone, which gives it no preferences."""
    addon = bpy.context.preferences.addons.get(__package__)
    return str(addon.preferences.connection) if addon else ""
