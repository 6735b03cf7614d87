"""Install the backend into an environment of its own, see `installation`. Standard library only.

The add-on runs it from the wheel that it carries, with a Python that has nothing installed:

    PYTHONPATH=unocclude.whl python -m unocclude.install FOLDER --backend unocclude.whl

It tells each `Step` as a line of JSON. It ends when its standard input does, so it never outlives who started it. What
is installed already stays in use until the new environment is whole and checked, whatever happens in between; to run it
again goes on with what has been fetched. backend/make.py installs with the same commands into `.venv`.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, NoReturn, get_args

from unocclude import __version__
from unocclude.errors import ServerUnavailableError, UnoccludeError
from unocclude.installation import (
    Build,
    Installed,
    Step,
    downloads,
    environments,
    log_file,
    python_in,
)
from unocclude.server.lock import HomeLock

TORCH_INDEX = "https://download.pytorch.org/whl/"
INDEX_NAMES: dict[Build, str] = {"cuda": "cu130", "rocm": "rocm7.1", "cpu": "cpu"}
SPACE: dict[Build, int] = {"cuda": 14, "rocm": 30, "cpu": 5, "default": 5}
"""GB that the environment takes while it is made from an index."""
STEPS = 5

_DAMAGED = r"(?i:do not match the hashes)|HashMismatch"
_CURES = (
    (r"No space left|not enough space", "Make room on the disk, then go on."),
    (r"No matching distribution|ResolutionImpossible", "Give a folder or an index that has all packages, then go on."),
    (r"Connection ?(?:Error|aborted|broken|reset)|RemoteDisconnected|HTTP error|HTTPError|(?:Client|Server) Error"
     r"|timed out|name resolution|ProxyError|SSLError|IncompleteRead|incomplete-download",
     "Check network, proxy and firewall, then go on; what was fetched is kept. Or choose a folder of packages."),
    (_DAMAGED, "A file arrived damaged. Try again, or choose another index."),
    (r"ensurepip is not available|No module named '?ensurepip", "Install the package python3-venv of your system."),
    (r"Permission denied|Access is denied|WinError 5", "Close programs that use the backend, then try again."),
)  # fmt: skip
"""What pip says, and what to do about it."""

_WORKS = "import torch; torch.zeros(1)"
_NOT_FOR_THE_CARD = "sys.exit('No matching distribution of torch for this card was there.')"
_CHECKS: dict[Build, str] = {
    "cuda": f"{_WORKS}; import sys; torch.version.cuda or {_NOT_FOR_THE_CARD}",
    "rocm": f"{_WORKS}; import sys; torch.version.hip or {_NOT_FOR_THE_CARD}",
    "cpu": _WORKS,
    "default": _WORKS,
}
"""That torch loads here, and is the build for the card: where its index cannot be reached, pip takes another one."""


class InstallError(UnoccludeError):
    """The environment could not be made."""

    code = "install"


@dataclass(frozen=True)
class Sources:
    """Where packages come from: `packages` is a folder of wheels and nothing else is asked, else pip's own indexes are,
    with torch's index for this build, or `index` in its place."""

    build: Build
    packages: Path | None = None
    index: str = ""

    def arguments(self, torch: bool) -> list[str]:
        """For pip, to install torch or anything else."""
        if self.packages is not None:
            return ["--no-index", "--find-links", str(self.packages)]
        name = INDEX_NAMES.get(self.build)
        index = self.index or (TORCH_INDEX + name if name else "")
        return ["--extra-index-url", index] if torch and index else []

    def room(self) -> float:
        """GB that the environment takes while it is made: of a folder, no more than all its wheels unpacked."""
        if self.packages is None:
            return SPACE[self.build]
        unpacked = 0
        for wheel in self.packages.glob("*.whl"):
            with suppress(zipfile.BadZipFile), zipfile.ZipFile(wheel) as archive:  # pip will say what is wrong with it
                unpacked += sum(entry.file_size for entry in archive.infolist())
        return min(SPACE[self.build], unpacked / 1e9)


def detect_build() -> Build:
    """The build of torch for this machine."""
    if sys.platform == "darwin":
        return "default"
    if shutil.which("nvidia-smi"):
        return "cuda"
    return "rocm" if sys.platform == "linux" and Path("/dev/kfd").exists() else "cpu"


def create_environment(python: str, environment: Path) -> list[str]:
    """The command that makes an empty virtual environment."""
    return [python, "-m", "venv", "--clear", str(environment)]


def pip_install(python: Path, sources: Sources, constraints: Path, *what: str) -> list[str]:
    """The command that installs packages, in the versions that the tests have passed with; it never compiles."""
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--prefer-binary"]
    return [*command, "--constraint", str(constraints), *sources.arguments(torch="torch" in what), *what]


def install(folder: Path, backend: str, sources: Sources, tell: Callable[[Step], None]) -> None:
    """Make the environment and take it into use. `backend` is what pip is to install: the wheel's path.

    Raises InstallError; the environment in use is the one before then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = HomeLock(folder)
    except ServerUnavailableError:
        raise InstallError("Another installation is under way.", "Wait until it has ended.") from None
    try:
        with log_file(folder).open("w", encoding="utf-8") as log:
            _Attempt(folder, backend, sources, tell, log).run()
    except OSError as error:
        raise InstallError(f"{folder} cannot be written ({error}).", _cure(str(error))) from error
    finally:
        lock.release()


class _Attempt:
    def __init__(
        self, folder: Path, backend: str, sources: Sources, tell: Callable[[Step], None], log: IO[str]
    ) -> None:
        self._folder = folder
        self._backend = backend
        self._sources = sources
        self._tell = tell
        self._log = log
        self._number = 0
        self._text = ""
        self._new_pip = False

    def run(self) -> None:
        before = Installed.load(self._folder)
        self._remove_environments(but=before)
        self._need_room()
        name = secrets.token_hex(4)
        environment = environments(self._folder) / name
        python = python_in(environment)
        downloads(self._folder).mkdir(exist_ok=True)
        constraints = downloads(self._folder) / "constraints.txt"
        constraints.write_text(resources.files("unocclude").joinpath("constraints.txt").read_text("utf-8"), "utf-8")

        self._step("Making a private environment")
        self._run(create_environment(sys.executable, environment))
        self._step("Bringing pip up to date")
        if self._sources.packages is None:  # a new one resumes a download that breaks off; an old one will do too
            with suppress(InstallError):
                self._pip(python, constraints, "--upgrade", "pip>=25.1")
                self._new_pip = True
        self._step(f"Installing torch ({self._sources.build})")
        self._pip(python, constraints, "torch", "torchvision")
        self._step("Installing the backend")
        self._pip(python, constraints, self._backend)
        self._step("Checking what was installed")
        self._run([str(python), "-m", "pip", "check"])
        self._run([str(python), "-c", _CHECKS[self._sources.build]])

        now = Installed(name, __version__, self._sources.build)
        now.save(self._folder)
        if before is not None:  # its files go away now; unfinished jobs go on when it is started again
            with suppress(InstallError):
                self._run([str(python), "-m", "unocclude", "stop"])
        self._remove_environments(but=now)
        shutil.rmtree(downloads(self._folder), ignore_errors=True)

    def _step(self, text: str) -> None:
        self._number += 1
        self._say(text)

    def _say(self, text: str, fraction: float | None = None) -> None:
        self._text = text
        self._tell(Step(self._number, STEPS, text, fraction))

    def _pip(self, python: Path, constraints: Path, *what: str) -> None:
        command = pip_install(python, self._sources, constraints, *what)
        newer = ["--progress-bar", "raw", "--resume-retries", "10"] if self._new_pip else []
        self._run([*command, "--cache-dir", str(downloads(self._folder)), "--only-binary", ":all:", *newer])

    def _run(self, command: Sequence[str]) -> None:
        """Raises InstallError with the end of what the command said."""
        # Blender points these at its own Python; the wheel that this runs from must not look installed either.
        hidden = ("PYTHONHOME", "PYTHONPATH")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        process = subprocess.Popen(
            command,
            env={**environment, "PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        global _child
        _child = process
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            if progress := re.match(r"Progress (\d+) of (\d+)", line):
                self._say(self._text, int(progress[1]) / max(1, int(progress[2])))
                continue
            self._log.write(line)
            self._log.flush()
            said = (said + line)[-4000:]
            if match := re.match(r"(Downloading|Collecting|Installing collected packages:) .{1,60}", line.strip()):
                self._say(match[0])
        if process.wait():
            if re.search(_DAMAGED, said):  # pip would take the damaged file from its cache for ever
                shutil.rmtree(downloads(self._folder), ignore_errors=True)
                downloads(self._folder).mkdir(exist_ok=True)
            raise InstallError(f"Step {self._number} of {STEPS} failed: {_last_word(said)}", _cure(said))

    def _need_room(self) -> None:
        free, needed = shutil.disk_usage(self._folder).free / 1e9, self._sources.room()
        if free < needed:
            raise InstallError(
                f"The disk of {self._folder} has {free:.1f} GB free, {needed:.1f} GB are needed.",
                "Make room there, then try again.",
            )

    def _remove_environments(self, but: Installed | None) -> None:
        """Those of attempts that did not end well. Windows keeps files that are in use; then the next one does it."""
        with suppress(FileNotFoundError):
            for place in environments(self._folder).iterdir():
                if but is None or place.name != but.environment:
                    shutil.rmtree(place, ignore_errors=True)


def _last_word(said: str) -> str:
    lines = [line for line in said.strip().splitlines() if line.strip()] or ["it said nothing."]
    if (conflict := "The conflict is caused by:") in lines:
        return "; ".join(line.strip() for line in lines[lines.index(conflict) + 1 :][:2])
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors[0] if errors else lines[-1]).strip()[:300]


def _cure(said: str) -> str:
    return next((cure for pattern, cure in _CURES if re.search(pattern, said)), "See install.log, then try again.")


_child: subprocess.Popen[str] | None = None


def _end_with_standard_input() -> None:
    while os.read(0, 1024):  # not through sys.stdin, which a thread must not hold when Python ends
        pass
    _leave()


def _leave() -> NoReturn:
    if _child is not None:
        with suppress(OSError):
            _child.kill()
    os._exit(130)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m unocclude.install", description="Install the backend.")
    parser.add_argument("folder", type=Path, help="where to; made if need be")
    parser.add_argument("--backend", required=True, help="the backend's wheel")
    parser.add_argument("--packages", type=Path, help="folder of wheels to take everything from, without any network")
    parser.add_argument("--index", default="", help="package index with torch, instead of PyTorch's own")
    parser.add_argument("--build", choices=["auto", *get_args(Build)], default="auto", help="of torch")
    options = parser.parse_args(arguments)
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    build = detect_build() if options.build == "auto" else options.build

    def tell(step: Step) -> None:
        try:
            print(step.line(), flush=True)
        except OSError:  # nobody listens any more
            _leave()

    try:
        install(options.folder.absolute(), options.backend, Sources(build, options.packages, options.index), tell)
    except UnoccludeError as error:
        tell(Step(0, STEPS, "Failed", ended=True, error=error.message, cure=error.cure))
        return error.exit_code
    tell(Step(STEPS, STEPS, f"Ready on {platform.system()} ({build})", ended=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
