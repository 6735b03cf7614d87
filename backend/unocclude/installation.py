"""The backend's private environment: where it lies, what is in it, how its making is told. Standard library only.

`unocclude.install` makes it; the add-on, which ships this file, starts that and finds the result. In its folder are

    environments/ID/   virtual environments; each attempt has a new one, so that the old one serves until the end
    installed.json     which of them is whole, checked and in use; replaced in one go
    downloads/         pip's cache, so that what an interrupted attempt has fetched need not be fetched again
    install.log        what pip said
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

Build = Literal["cuda", "rocm", "cpu", "default"]
"""Of torch: for NVIDIA, for AMD on Linux, for no card, and the only one that there is (macOS)."""


@dataclass(frozen=True)
class Installed:
    """An environment in use: its ID, the backend's version, and torch's build."""

    environment: str
    version: str
    build: Build

    @staticmethod
    def load(folder: Path) -> Installed | None:
        """None where nothing usable is installed."""
        try:
            values = json.loads(_record(folder).read_text(encoding="utf-8"))
            found = Installed(**{item.name: values[item.name] for item in fields(Installed)})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found.python(folder).is_file() else None

    def save(self, folder: Path) -> None:
        draft = folder / "installed.draft"
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(draft, _record(folder))

    def python(self, folder: Path) -> Path:
        return python_in(environments(folder) / self.environment)


@dataclass(frozen=True)
class Step:
    """A line of what `unocclude.install` tells: step `number` of `total`, and what it does right now.

    `fraction` is how much of the present download is there, None where nothing is known. The last line has `ended`,
    with `error` and `cure` where it did not work out.
    """

    number: int
    total: int
    text: str
    fraction: float | None = None
    ended: bool = False
    error: str | None = None
    cure: str = ""

    def line(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Step:
        """Raises ValueError, KeyError or TypeError where the line is something else."""
        values = json.loads(line)
        return cls(**{item.name: values[item.name] for item in fields(cls)})


def python_in(environment: Path) -> Path:
    """The Python of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environments(folder: Path) -> Path:
    return folder / "environments"


def downloads(folder: Path) -> Path:
    return folder / "downloads"


def log_file(folder: Path) -> Path:
    return folder / "install.log"


def interrupted(folder: Path) -> bool:
    """Whether an attempt began that did not come to its end."""
    return downloads(folder).exists()


def uninstall(folder: Path) -> None:
    """Remove the environment and what was fetched for it. Models, which lie elsewhere, stay. The backend must not run.

    Raises OSError where a file is in use; nothing counts as installed by then.
    """
    _record(folder).unlink(missing_ok=True)
    for place in (environments(folder), downloads(folder)):
        if place.exists():
            shutil.rmtree(place)


def _record(folder: Path) -> Path:
    return folder / "installed.json"
