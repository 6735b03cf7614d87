"""What goes on beside the open file: the job under way and what is known of the backend."""

from __future__ import annotations

import time
from itertools import chain
from pathlib import Path

from ..wire.errors import UnoccludeError
from ..wire.protocol import Event
from .camera import PhotographCamera
from .job import Job, Phase
from .link import BackendState, Compared, Delivered, Failed, Jobs, Link, News, Order, Sending, Starting

BUDGET = 0.01
"""Seconds that one round of news may take of Blender's main thread."""


class Session:
    """Belongs to the main thread. One job at a time, others wait; `backend_runs` is None while nobody has looked.

    One link follows the job, the other one answers questions meanwhile.
    """

    def __init__(self, link: Link, desk: Link) -> None:
        self._link = link
        self._desk = desk
        self.listed: Jobs | None = None
        self.job: Job | None = None
        self.backend_runs: bool | None = None
        self.backend_error: UnoccludeError | None = None
        self.waiting: list[tuple[Job, Order]] = []
        """The next ones, in their order."""
        self.failed: list[Job] = []
        """Those that went wrong before another one took their place."""
        self._questions = 0

    @property
    def jobs(self) -> list[Job]:
        """The present one and those that wait."""
        return [*([self.job] if self.job else []), *(job for job, _ in self.waiting)]

    @property
    def gallery(self) -> Job | None:
        """The job whose completions are on show, if any."""
        return self.job and self.job.gallery

    @property
    def busy(self) -> bool:
        return self.job is not None and not self.job.ended

    @property
    def can_go_on(self) -> bool:
        """Whether what was imagined may become a mesh once more, in another way."""
        return self.job is not None and self.job.imagined is not None and self.job.ended

    @property
    def waits_for_artist(self) -> bool:
        """A mesh is ready, and only the artist can say where it goes."""
        return self.job is not None and self.job.phase is Phase.ARRIVED and self.job.strayed

    @property
    def expects_news(self) -> bool:
        return (self.busy and not self.waits_for_artist) or self._questions > 0 or self._may_go_on

    def reconstruct(self, job: Job, order: Order) -> None:
        """Hand the job in; while another one is under way, it waits for its turn."""
        if self.busy:
            self.waiting.append((job, order))
        else:
            self._begin(job, order)

    def take_back(self, job: str) -> None:
        """Forget a job that waits."""
        self.waiting = [(waiting, order) for waiting, order in self.waiting if waiting.id != job]

    def _begin(self, job: Job, order: Order) -> None:
        self.job = job
        self._link.do(order)

    @property
    def _may_go_on(self) -> bool:
        """Whether the next one may begin: nobody has to look at what the last one brought."""
        return bool(self.waiting) and not self.busy and (self.job is None or self.job.phase is not Phase.CHOOSING)

    def _go_on(self) -> None:
        if self.job is not None and self.job.phase is Phase.FAILED:
            self.failed.append(self.job)
        self._begin(*self.waiting.pop(0))

    def cancel(self) -> None:
        if self.job is not None and self.job.cancellable:
            self.job.enter(Phase.CANCELLING)
            self._link.cancel(self.job.id)

    def dismiss(self) -> None:
        """Forget a job that has ended, or a mesh that nobody wants, and what went wrong."""
        if not self.busy or self.waits_for_artist:
            self.job = None
        self.backend_error = None
        self.failed.clear()

    def compare(self, camera: PhotographCamera) -> None:
        """Find out how well the mesh that was placed covers the photograph, seen by this camera."""
        assert self.job is not None
        assert self.job.result is not None
        assert self.job.imagined is not None
        self._questions += 1
        self._desk.compare(self.job.id, self.job.result, self.job.imagined, camera)

    def list_jobs(self, folder: Path) -> None:
        """Have the backend's jobs listed; their pictures go below the folder."""
        self._questions += 1
        self._desk.list_jobs(folder)

    def look_for_backend(self) -> None:
        self._questions += 1
        self._desk.look_for_backend()

    def start_backend(self, python: Path | UnoccludeError) -> None:
        """Raises the reason where there is nothing to start it with."""
        if isinstance(python, UnoccludeError):
            raise python
        self._questions += 1
        self.backend_error = None
        self._desk.start_backend(python)

    def stop_backend(self) -> None:
        self._questions += 1
        self.backend_error = None
        self._desk.stop_backend()

    def take_news(self) -> bool:
        """Take in what the link has to tell, within the time budget. True where something changed."""
        deadline = time.monotonic() + BUDGET
        changed = False
        for news in chain(self._link.news(), self._desk.news()):
            self._take(news)
            changed = True
            if time.monotonic() >= deadline:
                break
        if self._may_go_on and self._questions == 0:
            self._go_on()
            changed = True
        return changed

    def close(self) -> None:
        self._link.close()
        self._desk.close()

    def _take(self, news: News) -> None:
        if isinstance(news, (BackendState, Compared, Jobs)):
            self._questions -= 1
        if isinstance(news, BackendState):
            self.backend_runs = news.running
            self.backend_error = news.error
        elif isinstance(news, Jobs):
            self.listed = news
        elif self.job is not None and self.job.id == news.job:
            _tell(self.job, news)


def _tell(job: Job, news: Starting | Sending | Event | Delivered | Compared | Failed) -> None:
    if isinstance(news, Event):
        job.progress(news)
    elif isinstance(news, Delivered):
        job.arrive(news.imagined, news.result)
    elif isinstance(news, Compared):
        job.coverage = news.coverage
    elif isinstance(news, Failed):
        job.fail(news.error)
    else:
        job.enter(Phase.STARTING if isinstance(news, Starting) else Phase.SENDING)
