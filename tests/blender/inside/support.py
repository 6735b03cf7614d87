"""For the scripts that run inside Blender: install the packages, wait, make pictures."""

from __future__ import annotations

import importlib
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import bpy

addon_utils = importlib.import_module("addon_utils")  # to be found once bpy is loaded

CLASSIC, EXTENSION = "unocclude_addon", "bl_ext.user_default.unocclude"
MODULE = CLASSIC if bpy.app.version < (4, 2, 0) else EXTENSION


def arguments() -> list[str]:
    return sys.argv[sys.argv.index("--") + 1 :]


def install(dist: Path) -> None:
    """As a user does it: from the zip, through Blender's own installer."""
    if MODULE == CLASSIC:
        # A distribution's Blender sees the system's packages; one from blender.org has no pyzmq.
        sys.path[:] = [path for path in sys.path if not path.endswith("dist-packages")]
        (package,) = dist.glob("unocclude-*-classic.zip")
        bpy.ops.preferences.addon_install(filepath=str(package))
        bpy.ops.preferences.addon_enable(module=MODULE)
    else:
        (package,) = [path for path in dist.glob("unocclude-*.zip") if "classic" not in path.name]
        addon_utils.enable("bl_pkg")  # a `bpy` module starts without it
        bpy.ops.extensions.package_install_files(filepath=str(package), repo="user_default", enable_on_install=True)
    assert MODULE in bpy.context.preferences.addons, "the add-on is not enabled"


def part(name: str) -> ModuleType:
    """A module of the installed add-on."""
    return importlib.import_module(f"{MODULE}.{name}")


def pump(until: Callable[[], bool], seconds: float = 60) -> None:
    """What the timer does in a window: without one, Blender runs no timers."""
    jobs = part("jobs")
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, (
            f"waited {seconds} s for nothing: {phase()}, {getattr(jobs.session.job, 'error', None)}"
        )
        jobs.tick()
        time.sleep(0.02)


def picture(name: str = "cup.png", width: int = 60, height: int = 40) -> bpy.types.Image:
    """A generated image: red grows to the right, green upwards."""
    image = bpy.data.images.new(name, width, height)
    image.pixels.foreach_set(
        array(
            "f",
            (
                value
                for y in range(height)
                for x in range(width)
                for value in (x / (width - 1), y / (height - 1), 0.2, 1.0)
            ),
        )
    )
    return image


def choose(image: bpy.types.Image, x: int, y: int, seed: int = 0) -> None:
    """Make the image the reference and point at it."""
    settings = bpy.context.scene.unocclude
    settings.image = image
    settings.seed = seed
    point = image.unocclude.points.add()
    point.x, point.y = x, y


def phase() -> str:
    job = part("jobs").session.job
    return "NONE" if job is None else job.phase.name
