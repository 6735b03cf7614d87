"""Who the backend's clients are: its own user's, and those of other machines that were paired, each with its own key.

A paired client is a file of the folder `keys/clients`; a running backend sees at once when one comes or goes.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from unocclude.checks import text
from unocclude.connection import Connection, write_private
from unocclude.errors import InputError
from unocclude.server.auth import KeyPair

OWN = "own"
"""The name of the user's own client, which alone may stop the backend."""

_is_name = text(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True)
class PairedClient:
    """`public` is its key, `since` the Unix time of the pairing."""

    name: str
    public: str
    since: float


class ClientBook:
    """Raises OSError where the folder of the keys cannot be read or written."""

    def __init__(self, home: Path) -> None:
        self._keys = home / "keys"
        self._folder = self._keys / "clients"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.own = KeyPair.at(self._keys / "client.json")
        self._seen = 0
        self._names: dict[str, str] = {}

    def names(self) -> dict[str, str]:
        """Public key to name, of all who may come in now."""
        changed = self._folder.stat().st_mtime_ns
        if changed != self._seen:
            self._seen = changed
            self._names = {self.own.public: OWN} | {client.public: client.name for client in self.paired()}
        return self._names

    def paired(self) -> list[PairedClient]:
        """By name."""
        files = sorted(self._folder.glob("*.json"))
        return [PairedClient(**json.loads(file.read_text(encoding="utf-8"))) for file in files]

    def pair(self, name: str, endpoint: str) -> Connection:
        """Let a new client in; return what it needs, its secret key included, which is kept nowhere here.

        `endpoint` is the address under which its machine reaches this one. Raises InputError for a name that is taken.
        """
        path = self._path(name)
        if path.exists() or name == OWN:
            raise InputError(f"There is a client named {name} already.", "Take another name, or revoke that one.")
        keys, server = KeyPair.new(), KeyPair.at(self._keys / "server.json")
        write_private(path, json.dumps(asdict(PairedClient(name, keys.public, time.time()))))
        return Connection(endpoint, server.public, keys.public, keys.secret, 0)

    def revoke(self, name: str) -> None:
        """Shut a client out, at once. Raises InputError where there is none of this name."""
        path = self._path(name)
        if not path.exists():
            raise InputError(f"There is no paired client {name}.", "See `unocclude clients list`.")
        path.unlink()

    def _path(self, name: str) -> Path:
        if not _is_name(name):
            raise InputError(f"A client cannot be named {name!r}.", "Use up to 40 letters, digits, - and _.")
        return self._folder / f"{name}.json"
