"""The private environment is made, in spite of everything, or the one before stays in use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit
from zipfile import ZipFile

import pytest
from unocclude.install import STEPS, InstallError, Sources, detect_build, install
from unocclude.installation import Installed, Step, environments, interrupted, log_file, uninstall
from wheels import PINNED, serve, write_backend, write_packages

BACKEND = Path(__file__).resolve().parents[2] / "backend"


@pytest.fixture(autouse=True)
def no_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip knows nothing but what a test gives it."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    return write_packages(tmp_path / "packages")


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    return write_backend(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "installed"


INSTALLER = ("-m", "unocclude.install")
ON_ANY_DISK = ("-c", "import sys; from unocclude import install; install.SPACE['cpu'] = 0; sys.exit(install.main())")


def start(folder: Path, backend: Path, *arguments: object, how: Sequence[str] = INSTALLER) -> subprocess.Popen[str]:
    """As the add-on starts it."""
    command = [sys.executable, *how, folder, "--backend", backend, "--build", "cpu", *arguments]
    return subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, "PYTHONPATH": str(BACKEND)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> list[Step]:
    assert process.stdout is not None
    steps = [Step.from_line(line) for line in process.stdout]
    assert process.wait() == (1 if steps[-1].error else 0)
    assert steps[-1].ended
    process.stdin.close()
    return steps


def works(folder: Path) -> bool:
    """Whether what counts as installed is whole."""
    installed = Installed.load(folder)
    return installed is not None and not subprocess.call([installed.python(folder), "-c", "import torch, unocclude"])


def test_offline_from_a_folder_of_wheels(folder: Path, backend: Path, packages: Path) -> None:
    steps = finish(start(folder, backend, "--packages", packages))
    assert steps[-1].error is None, log_file(folder).read_text()
    assert sorted({step.number for step in steps}) == [1, 2, 3, 4, 5]
    assert works(folder)
    installed = Installed.load(folder)
    assert (installed.version, installed.build) == ("0.1.0", "cpu")
    assert not interrupted(folder)


def cancel(process: subprocess.Popen[str]) -> None:
    process.stdin.close()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.stdin.close()


def test_interrupted_at_each_step_and_gone_on(folder: Path, backend: Path, packages: Path) -> None:
    before = Installed("before", "0.0.9", "cpu")
    before.python(folder).parent.mkdir(parents=True)
    before.python(folder).touch()
    before.save(folder)
    for number, interrupt in zip(range(1, STEPS + 1), cycle([cancel, kill]), strict=False):
        process = start(folder, backend, "--packages", packages)
        assert any(Step.from_line(line).number == number for line in process.stdout)
        interrupt(process)
        assert process.wait()
        process.stdout.close()
        assert Installed.load(folder) == before, "what was in use is lost"
        assert interrupted(folder)

    assert finish(start(folder, backend, "--packages", packages))[-1].error is None
    now = Installed.load(folder)
    assert now.version == "0.1.0"
    assert works(folder)
    assert [place.name for place in environments(folder).iterdir()] == [now.environment], "leftovers"
    assert not interrupted(folder)


def test_two_at_once(folder: Path, backend: Path, packages: Path) -> None:
    first = start(folder, backend, "--packages", packages)
    first.stdout.readline()
    assert finish(start(folder, backend, "--packages", packages))[-1].error == "Another installation is under way."
    finish(first)
    assert works(folder)


def test_an_index_that_fails(folder: Path, backend: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do; going on fetches only what is missing."""
    zmq = f"pyzmq-{PINNED['pyzmq']}-py3-none-any.whl"
    cures = {"reset": "network", "missing": "network", "cut": "damaged", "wrong": "damaged"}
    with serve(packages) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        monkeypatch.setenv("PIP_TRUSTED_HOST", urlsplit(index.url).netloc)
        for fault, cure in cures.items():
            index.fetched.clear()
            index.faults[zmq] = fault
            end = finish(start(folder, backend, "--index", index.url, how=ON_ANY_DISK))[-1]
            assert end.error is not None, fault
            assert cure in end.cure, (fault, end)
            assert Installed.load(folder) is None
            assert set(index.fetched) == {zmq} or fault not in {"missing", "cut"}, "fetched again what it had"

        index.faults.clear()
        index.fetched.clear()
        end = finish(start(folder, backend, "--index", index.url, how=ON_ANY_DISK))[-1]
        assert end.error is None, log_file(folder).read_text()
        assert works(folder)
        assert zmq in index.fetched, "the damaged file was kept"


def test_a_package_that_is_not_there(folder: Path, backend: Path, packages: Path) -> None:
    next(packages.glob("pyzmq-*")).unlink()
    end = finish(start(folder, backend, "--packages", packages))[-1]
    assert "pyzmq" in end.error
    assert "folder" in end.cure


def test_torch_without_support_for_the_card_is_refused(folder: Path, backend: Path, packages: Path) -> None:
    end = finish(start(folder, backend, "--packages", packages, "--build", "cuda"))[-1]
    assert "card" in end.error
    assert Installed.load(folder) is None


def test_a_disk_without_room_is_refused_before_anything_is_fetched(
    folder: Path, backend: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    free = round(Sources("cuda", packages).room() * 1e9)
    assert free == sum(entry.file_size for wheel in packages.iterdir() for entry in ZipFile(wheel).infolist()) > 0
    for sources, missing in ((Sources("cpu", packages), free - 1), (Sources("cuda"), 13_900_000_000)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, missing=missing: usage(missing, 0, missing))
        with pytest.raises(InstallError, match="GB are needed") as refused:
            install(folder, str(backend), sources, lambda step: None)
        assert "Make room" in refused.value.cure
        assert not environments(folder).exists()


def test_uninstalling_leaves_nothing_but_the_log(folder: Path, backend: Path, packages: Path) -> None:
    finish(start(folder, backend, "--packages", packages))
    uninstall(folder)
    assert Installed.load(folder) is None
    assert {path.name for path in folder.iterdir()} == {"install.log", "serve.lock"}
    uninstall(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"environment": "gone", "version": "1", "build": "cpu"}'])
def test_a_damaged_record_counts_as_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "installed.json").write_text(text)
    assert Installed.load(tmp_path) is None


@pytest.mark.parametrize(
    ("system", "driver", "build"), [("darwin", True, "default"), ("linux", True, "cuda"), ("win32", False, "cpu")]
)
def test_the_build_for_this_machine(monkeypatch: pytest.MonkeyPatch, system: str, driver: bool, build: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/nvidia-smi" if driver else None)
    assert detect_build() == build


def test_where_packages_come_from(tmp_path: Path) -> None:
    assert Sources("cpu").arguments(torch=False) == []
    assert Sources("cuda").arguments(torch=True)[-1].endswith("/cu130")
    assert Sources("default").arguments(torch=True) == []
    assert Sources("cuda", index="https://mirror/").arguments(torch=True)[-1] == "https://mirror/"
    assert Sources("cuda", packages=tmp_path).arguments(torch=True) == ["--no-index", "--find-links", str(tmp_path)]
