"""One backend per home folder: a lock that the system lets go when its process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from unocclude.errors import ServerUnavailableError


class HomeLock:
    """Held from construction to `release`. Raises ServerUnavailableError where another process holds it."""

    def __init__(self, home: Path) -> None:
        self._descriptor = os.open(home / "serve.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise ServerUnavailableError(
                f"A backend is running already with the home folder {home}.",
                "Use it as it is, or end it with `unocclude stop`.",
            ) from None

    def release(self) -> None:
        os.close(self._descriptor)
