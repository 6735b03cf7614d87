"""Blender as a Python module, one virtual environment for each version: `python tests/blender/bpy_environments.py`.

They lie in build/bpy, or in the folder that UNOCCLUDE_BPY names. The modules need Python 3.11.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("4.2", "4.5", "5.0")
FOLDER = Path(os.environ.get("UNOCCLUDE_BPY") or Path(__file__).resolve().parents[2] / "build" / "bpy")


def python_of(version: str) -> Path:
    """The Python that has this version of bpy, whether it is there or not."""
    return FOLDER / f"bpy{version.replace('.', '')}" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def main() -> None:
    if sys.version_info[:2] != (3, 11):
        sys.exit("Run it with Python 3.11, the Python of these versions of Blender.")
    for version in VERSIONS:
        python = python_of(version)
        if python.exists():
            continue
        environment = python.parents[1]
        try:
            subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"bpy=={version}.*"], check=True)
        except subprocess.CalledProcessError:
            shutil.rmtree(environment, ignore_errors=True)  # all of it or nothing
            raise
        print(f"bpy {version}: {environment}")


if __name__ == "__main__":
    main()
