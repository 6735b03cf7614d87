"""The environment of processes that are no part of Blender."""

from __future__ import annotations

import os


def clean_environment() -> dict[str, str]:
    """Blender points some variables at its own Python."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
