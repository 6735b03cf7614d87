"""How a client finds the backend: the home folder and the user-only connection file. Standard library only."""

from __future__ import annotations

import json
import os
import secrets
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from .errors import ServerUnavailableError

START_IT = "Start it with `unocclude serve`."
PYTHON_NOTE = "python.txt"
"""File in the home folder: the Python that the backend ran with last, for those who want to start it again."""


def home_folder() -> Path:
    """The backend's own folder: $UNOCCLUDE_HOME, else the user's state folder as platformdirs defines it.

    Written out here because Blender's Python has no platformdirs.
    """
    override = os.environ.get("UNOCCLUDE_HOME")
    if override:
        return Path(override)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "unocclude"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "unocclude"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "unocclude"


@dataclass(frozen=True)
class Connection:
    """What a client needs to reach a backend.

    Keys are 40 characters of Z85; `pid` is the backend's process.
    """

    endpoint: str
    server_key: str
    public_key: str
    secret_key: str
    pid: int

    @staticmethod
    def path(home: Path) -> Path:
        return home / "connection.json"

    @classmethod
    def load(cls, home: Path) -> Connection:
        """Raises ServerUnavailableError where no backend has left its file, or the file cannot be read."""
        path = cls.path(home)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{item.name: values[item.name] for item in fields(cls)})
        except FileNotFoundError:
            raise ServerUnavailableError("No backend is running.", START_IT) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ServerUnavailableError(
                f"The connection file {path} cannot be read ({error}).",
                "Stop the backend and start it again.",
            ) from error

    def save(self, home: Path) -> None:
        write_private(self.path(home), json.dumps(asdict(self)))


def write_private(path: Path, text: str) -> None:
    """Write a file that its user alone can read, all of it or nothing.

    Windows knows no such mode; there the user's own folder keeps others out.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
