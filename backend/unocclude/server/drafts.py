"""Pictures on their way in, part by part."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from pathlib import Path

from unocclude.protocol import MAX_CHUNK, ProtocolError

OPEN_UPLOADS = 8
"""Of one client; the one that it began first gives way to a further one."""


class Draft:
    """The begin of a picture file, on disk."""

    def __init__(self, path: Path, digest: str, size: int) -> None:
        self.path = path
        self.have = 0
        self._digest = digest
        self._size = size
        self._sum = hashlib.sha256()
        path.touch()

    @property
    def complete(self) -> bool:
        return self.have == self._size

    def add(self, offset: int, part: bytes) -> None:
        """Append this part, if it is the next one. Raises ProtocolError where it cannot belong to this picture."""
        if offset != self.have:
            return
        if not 0 < len(part) <= min(MAX_CHUNK, self._size - self.have):
            raise ProtocolError(f"A part of {len(part)} bytes does not fit the picture.", "See PROTOCOL.md.")
        with self.path.open("ab") as file:
            file.write(part)
        self.have += len(part)
        self._sum.update(part)
        if self.complete and self._sum.hexdigest() != self._digest:
            raise ProtocolError("The picture is not the one that was announced.", "Send the file's own sha256.")


class Drafts:
    """The unfinished pictures of all clients, each known by the client's key and the digest that it will have."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, OrderedDict[str, Draft]] = {}

    def get(self, client: str, digest: str) -> Draft | None:
        return self._open.get(client, OrderedDict()).get(digest)

    def begin(self, client: str, digest: str, size: int) -> Draft:
        """A new one."""
        mine = self._open.setdefault(client, OrderedDict())
        while len(mine) >= OPEN_UPLOADS:
            self.end(client, next(iter(mine)))
        mine[digest] = Draft(self._folder / f"upload-{secrets.token_hex(8)}", digest, size)
        return mine[digest]

    def end(self, client: str, digest: str) -> None:
        """Forget it, and remove what is left of its file."""
        self._open[client].pop(digest).path.unlink(missing_ok=True)
        if not self._open[client]:
            del self._open[client]
