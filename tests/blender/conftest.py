"""Real Blenders, a real backend process with a scripted pipeline, and the packages as they are shipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from unocclude.client import Client
from unocclude.errors import UnoccludeError
from unocclude.launch import start_backend

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from bpy_environments import VERSIONS, python_of  # noqa: E402


@dataclass(frozen=True)
class Blender:
    """A Blender without a window: the program, or the Python that has the `bpy` module."""

    name: str
    command: list[str]

    def script(self, path: Path, *arguments: object) -> list[str]:
        return [*self.command, str(path), "--", *map(str, arguments)]


def _blenders() -> list[object]:
    program = shutil.which("blender")
    classic = Blender("blender", [program or "", "-b", "--factory-startup", "--python-exit-code", "1", "--python"])
    found = [
        pytest.param(
            classic,
            id="blender",
            marks=[] if program else pytest.mark.skip("no `blender` here: apt-get install blender"),
        )
    ]
    for version in VERSIONS:
        python = python_of(version)
        mark = pytest.mark.skip(f"no bpy {version} here: python tests/blender/bpy_environments.py")
        found.append(
            pytest.param(
                Blender(f"bpy-{version}", [str(python)]),
                id=f"bpy-{version}",
                marks=[] if python.exists() else mark,
            )
        )
    return found


@pytest.fixture(params=_blenders())
def blender(request: pytest.FixtureRequest) -> Blender:
    return request.param


@pytest.fixture(scope="session")
def dist() -> Path:
    """The folder of the two packages, freshly built."""
    subprocess.run([sys.executable, str(ROOT / "addon" / "build.py")], check=True)
    return ROOT / "dist"


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of this computer who never saw Blender: no settings, no add-ons, no backend."""
    home = tmp_path / "user"
    home.mkdir()
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "BLENDER_USER_RESOURCES"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("UNOCCLUDE_HOME", str(home / "backend"))
    return home


@pytest.fixture
def backend(user: Path) -> Iterator[Path]:
    """The real backend with the scripted pipeline; it runs in its home folder, so the script lies there."""
    home = user / "backend"
    home.mkdir()
    shutil.copy(HERE / "scripted_backend.py", home)
    start_backend(sys.executable, home, runner="scripted_backend:run_job")
    yield home
    try:
        with Client(home, patience=0) as client:
            client.stop()
    except UnoccludeError:
        pass  # a test killed it


@pytest.fixture
def run(blender: Blender, user: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one of the scripts in inside/ and expect that it ends well."""

    def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        result = execute(blender.script(HERE / "inside" / script, *arguments))
        assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
        return result

    return run


def execute(command: list[str]) -> subprocess.CompletedProcess[str]:
    """PYTHONPATH is for the scripts' own support module; the add-on has to do without it."""
    environment = {**os.environ, "PYTHONPATH": str(HERE / "inside"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
