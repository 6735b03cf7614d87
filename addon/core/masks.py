"""Masks of what the artist points at, while clicking goes on: asked, waited for and decoded beside Blender."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..wire.errors import UnoccludeError
from ..wire.protocol import Prompt
from .link import with_cure
from .png import read_mask
from .silhouette import NO_DRAWING, Drawing, Silhouette, drawing_of

if TYPE_CHECKING:
    from ..wire.clicks import ClickAnswer, Clicks


@dataclass(frozen=True)
class Mask:
    """The answer to the click of this number: what to draw, or why there is nothing; neither where the backend only
    got ready."""

    number: int
    silhouette: Silhouette = field(default_factory=list)
    drawing: Drawing = NO_DRAWING
    error: UnoccludeError | None = None


class Masks:
    """Belongs to the main thread; nothing but `close` waits. Threads start with the first `ask`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._clicks: Clicks | None = None
        self._answers: queue.SimpleQueue[Mask] = queue.SimpleQueue()
        self._asked = 0
        self._newest: Mask | None = None

    def ask(self, picture: Callable[[], bytes], prompt: Prompt | None, profile: str) -> int:
        """Ask for a mask, or with None to get ready for this picture; return the click's number, see `Clicks.ask`."""
        if self._clicks is None:
            from ..wire.clicks import Clicks

            self._clicks = Clicks(lambda answer: self._answers.put(_decoded(answer)), self._home)
        self._asked = self._clicks.ask(picture, prompt, profile)
        return self._asked

    @property
    def waiting(self) -> bool:
        """Whether the newest click has no answer yet."""
        return self._asked > (self._newest.number if self._newest else 0)

    def newest(self) -> Mask | None:
        """The newest answer so far. It may belong to an older click than the newest."""
        while not self._answers.empty():
            self._newest = self._answers.get_nowait()
        return self._newest

    def close(self) -> None:
        if self._clicks is not None:
            self._clicks.close()


def _decoded(answer: ClickAnswer) -> Mask:
    if answer.part is None:
        return Mask(answer.number, error=answer.error and with_cure(answer.error))
    try:
        silhouette, width, _ = read_mask(answer.part.mask)
    except Exception as error:
        return Mask(answer.number, error=with_cure(error))
    return Mask(answer.number, silhouette, drawing_of(silhouette, width))
