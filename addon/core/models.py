"""The official models: what they are and under which licences, and having them downloaded, by the backend's Python in a
process of its own. A thread reads what it tells; nothing here touches Blender."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..wire.errors import UnoccludeError
from .background import Background


@dataclass(frozen=True)
class ModelFile:
    """A file that the official models need; `size` in bytes, None where it is not known before."""

    name: str
    size: int | None
    here: bool


@dataclass(frozen=True)
class Licence:
    """`terms` say in one line what it asks of users; `files` are under it."""

    name: str
    terms: str
    url: str
    files: tuple[str, ...]
    accepted: bool


@dataclass(frozen=True)
class Needed:
    """What the official models need, as it is now."""

    files: tuple[ModelFile, ...]
    licences: tuple[Licence, ...]

    @classmethod
    def from_json(cls, text: str) -> Needed:
        """Raises ValueError, KeyError or TypeError."""
        values = json.loads(text)
        return cls(
            tuple(ModelFile(**file) for file in values["files"]),
            tuple(Licence(**{**licence, "files": tuple(licence["files"])}) for licence in values["licences"]),
        )

    @property
    def missing(self) -> tuple[ModelFile, ...]:
        return tuple(file for file in self.files if not file.here)


@dataclass(frozen=True)
class Amount:
    """Bytes that are here, and that are to come in all, None where that is not known."""

    have: int
    total: int | None


class ModelStore(Background):
    """What was told last stays after the end."""

    def __init__(self) -> None:
        super().__init__()
        self.needed: Needed | None = None
        self.amount: Amount | None = None
        self.error: UnoccludeError | None = None
        self._news: queue.SimpleQueue[Needed | Amount | UnoccludeError | None] = queue.SimpleQueue()

    def look(self, python: Path) -> None:
        """Find out what is needed. Raises ValueError while something is under way."""
        self._begin_with(lambda: self._look(python))

    def download(self, python: Path, options: Sequence[str] = ()) -> None:
        """All that is missing; its licences count as accepted. Raises ValueError while something is under way."""
        self._begin_with(lambda: self._download(python, options))

    def take_news(self) -> bool:
        """True where something changed."""
        changed = False
        while not self._news.empty():
            news = self._news.get_nowait()
            changed = True
            if isinstance(news, Needed):
                self.needed = news
            elif isinstance(news, Amount):
                self.amount = news
            else:
                self.error, self.amount = news, None
                self._ended()
        return changed

    def _end(self, process: subprocess.Popen[str]) -> None:
        process.terminate()

    def _begin_with(self, task: Callable[[], None]) -> None:
        self._begin(lambda: self._work(task))
        self.error = None

    def _work(self, task: Callable[[], None]) -> None:
        try:
            task()
            self._news.put(None)
        except UnoccludeError as error:
            self._news.put(error)
        except Exception as error:
            self._news.put(UnoccludeError(f"The models cannot be looked after ({error!r}).", "Repair the backend."))

    def _look(self, python: Path) -> None:
        said: list[str] = []
        self._run(python, ["list", "--json"], said.append)
        if not self._leaving.is_set():
            self._news.put(Needed.from_json(said[-1]))

    def _download(self, python: Path, options: Sequence[str]) -> None:
        try:
            self._run(python, ["download", "--accept-licence", "--json", *options], self._tell)
        finally:
            if not self._leaving.is_set():
                self._look(python)

    def _tell(self, line: str) -> None:
        if line.startswith("{"):
            values: dict[str, Any] = json.loads(line)
            self._news.put(Amount(values["have"], values["total"]))

    def _run(self, python: Path, arguments: Sequence[str], on_line: Callable[[str], None]) -> None:
        """`unocclude models` with these arguments. Raises UnoccludeError with what it says where it fails."""
        process = self._open(
            [str(python), "-m", "unocclude", "models", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        complaints: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        reader = threading.Thread(target=lambda: complaints.extend(process.stderr or ()), daemon=True)
        reader.start()
        for line in process.stdout:
            on_line(line.strip())
        reader.join()
        if process.wait() and not self._leaving.is_set():
            message = "".join(complaints).strip().removeprefix("unocclude: ")
            raise UnoccludeError(message or "The backend's Python said nothing.", "")
