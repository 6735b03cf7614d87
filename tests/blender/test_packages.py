"""The two zips: what is in them, and what Blender's own validator says."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from bpy_environments import VERSIONS, python_of


@pytest.fixture
def extension(dist: Path) -> Path:
    (package,) = [path for path in dist.glob("unocclude-*.zip") if "classic" not in path.name]
    return package


@pytest.fixture
def classic(dist: Path) -> Path:
    (package,) = dist.glob("unocclude-*-classic.zip")
    return package


@pytest.mark.parametrize("version", VERSIONS)
def test_blender_finds_the_extension_valid(version: str, extension: Path) -> None:
    python = python_of(version)
    if not python.exists():
        pytest.skip(f"no bpy {version} here: python tests/blender/bpy_environments.py")
    (tool,) = python.parents[1].rglob(f"bpy/{version}/scripts/addons_core/bl_pkg/cli/blender_ext.py")
    done = subprocess.run([python, tool, "validate", extension], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_extension_brings_a_wheel_for_each_system_and_python(extension: Path) -> None:
    with zipfile.ZipFile(extension) as package:
        manifest = tomllib.loads(package.read("blender_manifest.toml").decode())
        names = set(package.namelist())
    wheels = {wheel.removeprefix("./") for wheel in manifest["wheels"]}
    assert wheels == {name for name in names if name.startswith("wheels/")}
    for python in ("cp311", "cp313"):
        for system in ("win_amd64", "manylinux_2_28_x86_64", "macosx_10_15_universal2"):
            assert any(python in wheel and system in wheel for wheel in wheels)


def test_the_classic_zip_is_one_folder_with_bl_info(classic: Path) -> None:
    with zipfile.ZipFile(classic) as package:
        assert {name.partition("/")[0] for name in package.namelist()} == {"unocclude_addon"}
        tree = ast.parse(package.read("unocclude_addon/__init__.py"))
        wheels = [name.split("/")[1:] for name in package.namelist() if name.endswith(".whl")]
    bl_info = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "bl_info"
    )
    assert bl_info["blender"] == (3, 4, 0)
    assert sorted(folder for folder, _ in wheels) == ["backend", *["wheels"] * 6]


def test_nothing_in_the_packages_imports_torch_or_the_backend(extension: Path) -> None:
    with zipfile.ZipFile(extension) as package:
        for name in package.namelist():
            if name.endswith(".py"):
                for node in ast.walk(ast.parse(package.read(name))):
                    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                        modules = [node.module]
                    allowed = {"bpy", "gpu", "gpu_extras", "mathutils", "zmq", *sys.stdlib_module_names}
                    assert {module.partition(".")[0] for module in modules} <= allowed, name


def test_the_same_sources_make_the_same_zip(extension: Path) -> None:
    before = extension.read_bytes()
    subprocess.run([sys.executable, extension.parents[1] / "addon" / "build.py"], check=True)
    assert extension.read_bytes() == before
