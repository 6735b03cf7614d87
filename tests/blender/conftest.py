"""Real Blenders, a real backend process with a scripted pipeline, and the packages as they are shipped."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_blenders import HERE, ROOT, Blender, blenders, execute
from unocclude.client import Client
from unocclude.errors import UnoccludeError
from unocclude.launch import start_backend


@pytest.fixture(params=blenders())
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
    start_backend(sys.executable, home, runner="scripted_backend:run_job", segmenter="scripted_backend:embed")
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
