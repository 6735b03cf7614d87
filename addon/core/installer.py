"""Have the backend installed, in a process of its own. A thread reads what it tells; nothing here touches Blender."""

from __future__ import annotations

import queue
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..wire.connection import Connection, home_folder
from ..wire.errors import ServerUnavailableError, UnoccludeError
from ..wire.installation import Step, uninstall
from .backend import ADDON, REPOSITORY
from .background import LONGEST_GOODBYE, Background
from .environment import clean_environment

OLDEST = (3, 11)
"""Version of Python that the backend needs."""


@dataclass(frozen=True)
class Choice:
    """What the artist chose, see `unocclude.install`; empty texts where nothing special."""

    build: str = "auto"
    packages: str = ""
    index: str = ""


class Installer(Background):
    """`step` is the newest of what is told, also after the end."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.step: Step | None = None
        self.error: UnoccludeError | None = None
        self._news: queue.SimpleQueue[Step] = queue.SimpleQueue()

    def install(self, choice: Choice) -> None:
        """Install, update, repair or go on with any of these. Raises ValueError while something is under way."""
        self._begin_with(lambda: self._install(choice))

    def uninstall(self) -> None:
        """Stop the backend and remove it; models stay. Raises ValueError while something is under way."""
        self._begin_with(self._uninstall)

    def take_news(self) -> bool:
        """True where something changed."""
        changed = False
        while True:
            try:
                step = self._news.get_nowait()
            except queue.Empty:
                return changed
            changed = True
            self.step = step
            if step.ended:
                self._ended()
                self.error = UnoccludeError(step.error, step.cure) if step.error else None

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.stdin is not None and not process.stdin.closed:
            process.stdin.close()  # it ends with it

    def _begin_with(self, task: Callable[[], Step]) -> None:
        self._begin(lambda: self._work(task))
        self.error = None
        self.step = Step(0, 1, "Starting")

    def _work(self, task: Callable[[], Step]) -> None:
        try:
            end = task()
        except UnoccludeError as error:
            end = Step(0, 1, "Failed", ended=True, error=error.message, cure=error.cure)
        except Exception as error:
            end = Step(0, 1, "Failed", ended=True, error=f"A fault of the add-on: {error!r}.", cure="Please report it.")
        self._news.put(end)

    def _install(self, choice: Choice) -> Step:
        source = backend_source()
        options = {"--packages": choice.packages, "--index": choice.index}
        command = [
            *(str(find_base_python()), "-m", "unocclude.install", str(self.folder)),
            *("--backend", str(source), "--build", choice.build),
            *(word for option, value in options.items() if value for word in (option, value)),
        ]
        # A wheel can be imported from as it is.
        path = source if source.suffix == ".whl" else source / "backend"
        process = self._open(
            command,
            {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            try:
                step = Step.from_line(line)
            except (ValueError, KeyError, TypeError):
                said = line.strip() or said
                continue
            if step.ended:
                process.wait()
                return step
            self._news.put(step)
        process.wait()
        if self._leaving.is_set():
            return Step(0, 1, "Cancelled", ended=True)
        raise UnoccludeError(f"The installation broke off: {said or 'it said nothing'}.", "Go on with it.")

    def _uninstall(self) -> Step:
        _stop_backend()
        try:
            uninstall(self.folder)
        except OSError as error:
            raise UnoccludeError(
                f"Not everything could be removed ({error}).", "Close programs that use the backend, then try again."
            ) from error
        return Step(1, 1, "Uninstalled", ended=True)


def backend_source() -> Path:
    """The backend's wheel that the package brings, in the source tree the tree itself."""
    return next(iter((ADDON / "backend").glob("unocclude-*.whl")), REPOSITORY)


def offered_version() -> str | None:
    """The version of that backend, None in the source tree, which is installed as it stands."""
    source = backend_source()
    return source.name.split("-")[1] if source.suffix == ".whl" else None


def find_base_python() -> Path:
    """A Python to make the environment with: Blender's own, else one of the system's. Raises UnoccludeError."""
    for python in _pythons():
        command = [python, "-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"]
        try:
            answer = subprocess.run(
                command,
                env=clean_environment(),
                capture_output=True,
                text=True,
                timeout=30,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            ).stdout.split()
        except (OSError, subprocess.SubprocessError):
            continue
        if tuple(map(int, answer)) >= OLDEST:
            return Path(python)
    raise UnoccludeError(
        f"No Python {'.'.join(map(str, OLDEST))} or newer was found.",
        "Install one from python.org (on Debian and Ubuntu with python3-venv), then try again.",
    )


def _stop_backend() -> None:
    """Its files cannot be removed while it runs."""
    from ..wire.client import Client

    try:
        with Client(timeout=LONGEST_GOODBYE, patience=0) as client:
            client.stop()
    except ServerUnavailableError:
        return
    deadline = time.monotonic() + LONGEST_GOODBYE
    while Connection.path(home_folder()).exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def _pythons() -> Iterator[str]:
    yield sys.executable
    for name in ("python3.13", "python3.12", "python3.11", "python3", "python"):
        if found := shutil.which(name):
            yield found
