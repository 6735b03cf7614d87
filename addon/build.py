"""Make the add-on's two packages: `python addon/build.py` leaves them in dist/.

    unocclude-<version>.zip          the extension, for Blender 4.2 and up
    unocclude-<version>-classic.zip  the classic add-on, for Blender 3.4 and up

Both carry wheels of pyzmq, which Blender does not have. Blender installs those of an extension itself; the classic
add-on unpacks the one that fits when it is enabled (core/dependencies.py), so that it needs no network and no pip
inside Blender. The wheels are fetched by pip, checked against addon/wheels.txt and kept in build/wheels.

Both carry the backend too, as a wheel in backend/, which the add-on installs into an environment outside of Blender.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
ADDON = ROOT / "addon"
BACKEND = ROOT / "backend" / "unocclude"
CACHE = ROOT / "build" / "wheels"
NOT_SHIPPED = {"build.py", "messages.py", "wheels.txt", "ruff.toml"}
SHARED = {"client", "clicks", "launch", "installation"}
"""The backend's modules that the add-on uses."""
CLASSIC_FOLDER = "unocclude_addon"
"""The classic add-on's module in Blender. Not `unocclude`: that is the backend's package."""
CLASSIC_PYTHONS = ("cp310", "cp311")
"""Blender 3.4 to 4.0 has Python 3.10, from 4.1 on 3.11."""


def main() -> None:
    manifest_text = (ROOT / "blender_manifest.toml").read_text(encoding="utf-8")
    manifest = tomllib.loads(manifest_text)
    version = manifest["version"]
    _same_version(version)
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)

    extension = {"blender_manifest.toml": manifest_text.encode()}
    extension |= _wheels(Path(wheel).name for wheel in manifest["wheels"])
    common = {**_sources(), **_backend_wheel()}
    _write(dist / f"unocclude-{version}.zip", {**common, **extension})

    classic = {**common, **_wheels(_classic_wheels(manifest["wheels"]))}
    _write(
        dist / f"unocclude-{version}-classic.zip",
        {f"{CLASSIC_FOLDER}/{name}": data for name, data in classic.items()},
    )


def _same_version(version: str) -> None:
    """The version stands in three files that three tools read."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    tree = ast.parse((ADDON / "__init__.py").read_text(encoding="utf-8"))
    bl_info = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "bl_info"
    )
    classic = ".".join(map(str, bl_info["version"]))
    if not version == project == classic:
        sys.exit(
            f"The version is {version} in blender_manifest.toml, {project} in pyproject.toml and {classic} in "
            "addon/__init__.py. Make them the same."
        )


def _sources() -> dict[str, bytes]:
    """The add-on's files, and those that it shares with the backend."""
    files = {
        path.relative_to(ADDON).as_posix(): path.read_bytes()
        for path in sorted([*ADDON.rglob("*.py"), *ADDON.glob("translations/*.po")])
        if path.name not in NOT_SHIPPED
    }
    files |= {f"wire/{name}.py": (BACKEND / f"{name}.py").read_bytes() for name in _shared(SHARED)}
    return {**files, "LICENSE": (ROOT / "LICENSE").read_bytes()}


def _shared(modules: set[str]) -> set[str]:
    """These modules of the backend and those that they import."""
    imported = {
        node.module
        for module in modules
        for node in ast.walk(ast.parse((BACKEND / f"{module}.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
    }
    return modules if imported <= modules else _shared(modules | imported)


def _classic_wheels(wheels: list[str]) -> set[str]:
    """The same wheels for the Pythons of the classic add-on."""
    parts = [Path(wheel).name.split("-") for wheel in wheels]
    return {
        "-".join((package, version, python, python, platform))
        for package, version, _, _, platform in parts
        for python in CLASSIC_PYTHONS
    }


def _wheels(names: Iterable[str]) -> dict[str, bytes]:
    return {f"wheels/{name}": _wheel(name).read_bytes() for name in sorted(names)}


def _wheel(name: str) -> Path:
    """From the cache, else by pip."""
    path = CACHE / name
    if not path.exists():
        _, _, python, _, platform = name.removesuffix(".whl").split("-")
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
            *("--implementation", "cp", "--python-version", python.removeprefix("cp"), "--platform", platform),
            *("--require-hashes", "--requirement", str(ADDON / "wheels.txt"), "--dest", str(CACHE)),
        ]
        subprocess.run(command, check=True)
    if not path.exists():
        sys.exit(f"pip did not bring {name}. Make blender_manifest.toml and addon/wheels.txt agree.")
    return path


def _backend_wheel() -> dict[str, bytes]:
    """Made from a copy, because setuptools would leave its own build folder among the sources and use it again."""
    with tempfile.TemporaryDirectory() as draft:
        source, made = Path(draft) / "source", Path(draft) / "made"
        shutil.copytree(BACKEND, source / "backend" / "unocclude", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(made), str(source)]
        subprocess.run(command, env={**os.environ, "SOURCE_DATE_EPOCH": "315532800"}, check=True)  # fixed times
        (wheel,) = made.iterdir()
        return {f"backend/{wheel.name}": wheel.read_bytes()}


def _write(path: Path, files: dict[str, bytes]) -> None:
    """With fixed times, so that the same sources give the same zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
