"""How long results stay: old jobs are forgotten, files that nobody needs any more are removed.

The broker's own thread does it, a little at each turn, so nothing can be handed in between the look whether a file is
needed and its removal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unocclude.server.blobs import BlobStore
from unocclude.server.jobs import JobStore

log = logging.getLogger(__name__)

GIB = 2**30
INTERVAL = 3600.0
"""Seconds between two rounds."""
GRACE = 3600.0
"""Seconds for which a file or an ended job stays in any case: it may be on its way to someone."""
SLICE = 0.005
"""Seconds of the broker's time at one turn."""


@dataclass(frozen=True)
class Limits:
    """`days` that an ended job, an image without a job, or an unused stage result stays at most; `files` and `stages`:
    bytes that the jobs' files, and the results of stages, may take."""

    days: float = 30.0
    files: int = 20 * GIB
    stages: int = 4 * GIB


class Retention:
    """Call `turn` often."""

    def __init__(self, jobs: JobStore, blobs: BlobStore, stages: Path, limits: Limits) -> None:
        self._jobs = jobs
        self._blobs = blobs
        self._stages = stages
        self._limits = limits
        self._round: Iterator[None] = iter(())
        self._next_round = 0.0

    def turn(self) -> None:
        """Go on for a moment."""
        now = time.monotonic()
        if now >= self._next_round:
            self._next_round = now + INTERVAL
            self._round = self._one_round()
        for _ in self._round:
            if time.monotonic() - now > SLICE:
                break

    def run(self) -> None:
        """A whole round, at once."""
        for _ in self._one_round():
            pass

    def _one_round(self) -> Iterator[None]:
        oldest = time.time() - 86400 * self._limits.days
        yield from self._forget_jobs(lambda ended, size: ended < oldest)
        files = yield from _files(self._blobs.folder)
        excess = sum(size for _, size, _ in files) - self._limits.files

        def too_much(ended: float, size: int) -> bool:
            nonlocal excess
            excess -= size
            return excess + size > 0

        yield from self._forget_jobs(too_much)
        for file, _, used in files:
            yield
            digest = self._blobs.digest(file)
            if time.time() - used > GRACE and not self._jobs.needs(digest):
                _remove(file)
                self._jobs.forget_upload(digest)
        kept = yield from _files(self._stages)
        taken = 0
        for file, size, used in sorted(kept, key=lambda entry: -entry[2]):
            yield
            taken += size
            if used < oldest or taken > self._limits.stages:
                _remove(file)

    def _forget_jobs(self, condition: Callable[[float, int], bool]) -> Iterator[None]:
        """Forget ended jobs, the oldest first, as long as the condition on their end and their size holds."""
        for job, ended, size in self._jobs.ended(before=time.time() - GRACE):
            yield
            if not condition(ended, size):
                return
            self._jobs.forget(job)
            log.info("forgotten, its time is over", extra={"job": job})


def _files(folder: Path) -> Generator[None, None, list[tuple[Path, int, float]]]:
    """Yields while it looks; returns path, bytes and time of last use of the files in the folder's folders."""
    found = []
    for file in folder.glob("*/*"):
        yield
        with suppress(OSError):
            status = file.stat()
            found.append((file, status.st_size, status.st_mtime))
    return found


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed (%s)", file.name, error.strerror)
