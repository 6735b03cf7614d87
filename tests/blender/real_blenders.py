"""The Blenders that are here, and how to run a script in them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from bpy_environments import VERSIONS, python_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Blender:
    """A Blender without a window: the program, or the Python that has the `bpy` module."""

    command: list[str]

    def script(self, path: Path, *arguments: object) -> list[str]:
        return [*self.command, str(path), "--", *map(str, arguments)]


def blenders() -> list[object]:
    """As parameters of a fixture; one that is not here is skipped, saying how to get it."""
    program = shutil.which("blender")
    window_less = [program or "", "-b", "--factory-startup", "--python-exit-code", "1", "--python"]
    absent = pytest.mark.skip("no `blender` here: apt-get install blender")
    found = [pytest.param(Blender(window_less), id="blender", marks=[] if program else absent)]
    for version in VERSIONS:
        python = python_of(version)
        absent = pytest.mark.skip(f"no bpy {version} here: python tests/blender/bpy_environments.py")
        found.append(pytest.param(Blender([str(python)]), id=f"bpy-{version}", marks=[] if python.exists() else absent))
    return found


def execute(command: list[str], scripts: Path = HERE / "inside") -> subprocess.CompletedProcess[str]:
    """`scripts` holds the scripts' own support module; the add-on has to do without it."""
    environment = {**os.environ, "PYTHONPATH": str(scripts), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
