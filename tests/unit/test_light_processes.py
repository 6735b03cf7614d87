"""What waits, asks or listens starts at once and takes little memory: only work loads the networks' libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers", "scipy", "numpy", "PIL", "trimesh", "cv2")


@pytest.mark.parametrize("module", ["cli", "client", "server.__main__", "server.worker", "server.segmenter"])
def test_it_loads_none_of_them(module: str) -> None:
    code = f"import sys, unocclude.{module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == []
