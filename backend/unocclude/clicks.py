"""Clicks without waiting: a thread that asks the backend for masks; the newest click wins.

The add-on ships this file. Needs pyzmq and the standard library only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .protocol import Prompt

if TYPE_CHECKING:
    from .client import Client, VisiblePart

TIMEOUT, PATIENCE = 10.0, 3.0


@dataclass(frozen=True)
class Click:
    """What is asked. `prompt` None only lets the backend get ready for this image."""

    number: int
    image: Callable[[], bytes]
    prompt: Prompt | None
    profile: str


@dataclass(frozen=True)
class ClickAnswer:
    """The answer to the click of this number: the visible part or why there is none; neither where it only got
    ready."""

    number: int
    part: VisiblePart | None = None
    error: Exception | None = None


class Clicks:
    """Belongs to one thread, for example Blender's main one; no method but `close` ever waits.

    Its own thread starts with the first click and hands each answer to `on_answer` itself, so that reading the mask
    holds up nobody. A click that was not yet sent when a newer one came is never answered.
    """

    def __init__(self, on_answer: Callable[[ClickAnswer], None], home: Path | None = None) -> None:
        self._on_answer = on_answer
        self._home = home
        self._count = 0
        self._wanted: Click | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def ask(self, image: Callable[[], bytes], prompt: Prompt | None, profile: str = "bundled") -> int:
        """Ask for a mask; return the click's number. `image` gives a file's bytes, in Clicks' own thread, which may
        have to wait for them; give the same object again for the same image, so that nothing is computed from it
        twice."""
        with self._changed:
            self._count += 1
            self._wanted = Click(self._count, image, prompt, profile)
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="unocclude-clicks", daemon=True)
            self._thread.start()
        return self._count

    def close(self) -> None:
        """End the thread. It leaves by itself where it waits for the backend at this moment."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(1.0)

    def _work(self) -> None:
        with ExitStack() as connection:
            client: Client | None = None
            while (click := self._next()) is not None:
                try:
                    client = client or connection.enter_context(_client(self._home))
                    answer = _answered(client, click)
                except Exception as error:
                    answer = ClickAnswer(click.number, error=error)
                self._on_answer(answer)

    def _next(self) -> Click | None:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted is not None or self._closing)
            click, self._wanted = self._wanted, None
            return None if self._closing else click


def _client(home: Path | None) -> Client:
    from .client import Client  # loading pyzmq takes a tenth of a second, which this thread has

    return Client(home, timeout=TIMEOUT, patience=PATIENCE)


def _answered(client: Client, click: Click) -> ClickAnswer:
    if click.prompt is None:
        client.prepare(click.image(), click.profile)
        return ClickAnswer(click.number)
    return ClickAnswer(click.number, client.segment(click.image(), click.prompt, click.profile))
