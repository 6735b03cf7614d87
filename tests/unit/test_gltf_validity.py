"""The mesh file against Khronos' own validator, an npm package; skipped where node or npm's registry is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from shapes_in_view import sphere, views_of
from unocclude import __version__
from unocclude.pipeline.export import write_glb
from unocclude.pipeline.texture import texture_surface
from unocclude.pipeline.types import Surface

FOLDER = Path(__file__).parents[2] / "build" / "gltf-validator"
VERSION = "2.0.0-dev.3.10"
SCRIPT = """
const validator = require('gltf-validator');
const data = new Uint8Array(require('fs').readFileSync(process.argv[1]));
validator.validateBytes(data).then(report => console.log(JSON.stringify(report)));
"""


@pytest.fixture(scope="module")
def validator() -> Path:
    """The folder that has the package, installed into it at the first run."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are needed for the glTF validator")
    if not (FOLDER / "node_modules" / "gltf-validator").is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(FOLDER), f"gltf-validator@{VERSION}"]
        installed = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if installed.returncode:
            pytest.skip(f"npm cannot install the glTF validator: {installed.stderr.strip()[-200:]}")
    return FOLDER


def validated(validator: Path, glb: Path) -> dict:
    command = ["node", "-e", SCRIPT, str(glb)]
    return json.loads(subprocess.run(command, cwd=validator, check=True, capture_output=True, text=True).stdout)


def test_a_mesh_of_the_pipeline_has_no_fault(validator: Path, tmp_path: Path) -> None:
    ball = sphere()
    surface = Surface(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces, np.int32))
    path = tmp_path / "mesh.glb"
    write_glb(texture_surface(surface, views_of(ball), size=256), path, {"seed": 3, "profile": "bundled"})
    report = validated(validator, path)
    assert report["issues"]["messages"] == []
    assert report["info"]["generator"] == f"unocclude {__version__}"
    assert report["info"]["totalTriangleCount"] == len(surface.faces)


def test_the_validator_sees_a_damaged_file(validator: Path, tmp_path: Path) -> None:
    ball = sphere()
    surface = Surface(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces, np.int32))
    path = tmp_path / "mesh.glb"
    write_glb(texture_surface(surface, views_of(ball), size=64), path)
    path.write_bytes(path.read_bytes().replace(b'"max":[0.', b'"max":[9.'))
    assert validated(validator, path)["issues"]["numErrors"] > 0
