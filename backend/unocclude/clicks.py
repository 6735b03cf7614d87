"""Clicks without waiting: a thread that asks the backend for masks; the newest click wins.

The add-on ships this file. Needs pyzmq and the standard library only.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from .client import Client, VisiblePart
from .errors import UnoccludeError
from .protocol import Prompt

TIMEOUT, PATIENCE = 10.0, 3.0


@dataclass(frozen=True)
class Click:
    """What is asked. `prompt` None only lets the backend get ready for this image."""

    number: int
    image: bytes
    prompt: Prompt | None
    profile: str


@dataclass(frozen=True)
class ClickAnswer:
    """The answer to the click of this number: the visible part or why there is none; neither where it only got
    ready."""

    number: int
    part: VisiblePart | None = None
    error: UnoccludeError | None = None


class Clicks:
    """Belongs to one thread, for example Blender's main one; no method but `close` ever waits.

    Its own thread starts with the first click. A click that was not yet sent when a newer one came is never answered.
    """

    def __init__(self, home: Path | None = None) -> None:
        self._home = home
        self._count = 0
        self._wanted: Click | None = None
        self._answer: ClickAnswer | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def ask(self, image: bytes, prompt: Prompt | None, profile: str = "bundled") -> int:
        """Ask for a mask; return the click's number. `image` is a file's bytes; hand in the same object again for the
        same image, so that nothing is computed from it twice."""
        with self._changed:
            self._count += 1
            self._wanted = Click(self._count, image, prompt, profile)
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="unocclude-clicks", daemon=True)
            self._thread.start()
        return self._count

    @property
    def waiting(self) -> bool:
        """Whether the newest click has no answer yet."""
        with self._changed:
            return self._count > 0 and (self._answer is None or self._answer.number < self._count)

    def answer(self) -> ClickAnswer | None:
        """The newest answer so far. It may belong to an older click than the newest."""
        with self._changed:
            return self._answer

    def close(self) -> None:
        """End the thread. It leaves by itself where it waits for the backend at this moment."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(1.0)

    def _work(self) -> None:
        with Client(self._home, timeout=TIMEOUT, patience=PATIENCE) as client:
            while (click := self._next()) is not None:
                answer = _answered(client, click)
                with self._changed:
                    self._answer = answer

    def _next(self) -> Click | None:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted is not None or self._closing)
            click, self._wanted = self._wanted, None
            return None if self._closing else click


def _answered(client: Client, click: Click) -> ClickAnswer:
    try:
        if click.prompt is None:
            client.prepare(click.image, click.profile)
            return ClickAnswer(click.number)
        return ClickAnswer(click.number, client.segment(click.image, click.prompt, click.profile))
    except UnoccludeError as error:
        return ClickAnswer(click.number, error=error)
