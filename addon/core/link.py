"""The one thread that talks to the backend. It never touches Blender, and nobody else touches its client.

The main thread hands it tasks and collects its news; both ways go through queues.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..wire.errors import Cancelled, ServerUnavailableError, UnoccludeError
from ..wire.protocol import Event, JobInfo, JobSpec
from . import result
from .camera import PhotographCamera
from .png import read_mask, write_mask
from .strokes import Painting, nothing, painted

if TYPE_CHECKING:
    from ..wire.client import Client

TICK = 0.1
"""Seconds after which a wish to cancel or to leave is noticed."""
PATIENCE = 10.0
"""Seconds that the backend may be away, for example to start anew, before a job counts as lost."""
TIMEOUT = 10.0
"""Seconds within which the backend answers a request."""
LONGEST_GOODBYE = 12.0
"""Seconds that `close` waits at most: longer than any request; only a backend's start may take more."""
LISTED = 12
"""Jobs that are shown at most."""
THUMBNAIL = "completion_00.png"
VISIBLE_MASK = "visible_mask.png"
REPORT_IT = "Please report it, with what you did."
PYZMQ_CURE = "Install the add-on from its zip, which brings pyzmq, or install pyzmq for Blender's Python."


@dataclass(frozen=True)
class Order:
    """A job to be done. `picture` and `completion` give image files' bytes, in the link's thread, which may have to
    wait for them; `mask` is such bytes. The artifacts go into `folder`.

    `python` is the backend's Python, to start it with where none runs, or the reason why there is none. Without a
    picture, the job is one that the backend has already. `painting` goes over the mask of the prompt. `mask_of` is an
    earlier job whose mask is to be used.
    """

    job: str
    spec: JobSpec
    picture: Callable[[], bytes] | None
    folder: Path
    python: Path | UnoccludeError
    mask: bytes | None = None
    painting: Painting | None = None
    completion: Callable[[], bytes] | None = None
    mask_of: str = ""


@dataclass(frozen=True)
class Starting:
    """The backend is being started for this job."""

    job: str


@dataclass(frozen=True)
class Sending:
    """The job's picture is on its way."""

    job: str


@dataclass(frozen=True)
class Delivered:
    """The job's artifacts are in its folder, and this is what they are; no result where the job ended before 3D."""

    job: str
    imagined: result.Imagined
    result: result.Result | None


@dataclass(frozen=True)
class Compared:
    """How well the mesh in the scene covers the object in the photograph, see `result.coverage`."""

    job: str
    coverage: float


@dataclass(frozen=True)
class Failed:
    """The job ended in this error."""

    job: str
    error: UnoccludeError


@dataclass(frozen=True)
class BackendState:
    """The answer to each of `look_for_backend`, `start_backend` and `stop_backend`: whether it runs now."""

    running: bool
    error: UnoccludeError | None = None


@dataclass(frozen=True)
class Jobs:
    """The answer to `list_jobs`: the newest first, and a picture file for those that have one."""

    jobs: list[JobInfo]
    pictures: dict[str, Path]
    error: UnoccludeError | None = None


News: TypeAlias = "Starting | Sending | Event | Delivered | Compared | Failed | BackendState | Jobs"


class Link:
    """Its thread starts with the first task and ends with `close`. All other methods return at once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def do(self, order: Order) -> None:
        self._give(lambda: self._run(order))

    def cancel(self, job: str) -> None:
        self._cancelled.add(job)

    def compare(self, job: str, brought: result.Result, imagined: result.Imagined, camera: PhotographCamera) -> None:
        """Ask how well what it brought covers the photograph, seen by this camera."""
        self._give(lambda: self._news.put(Compared(job, result.coverage(brought, imagined, camera))))

    def list_jobs(self, folder: Path) -> None:
        """Ask which jobs the backend has; their pictures go below the folder."""
        self._give(lambda: self._list_jobs(folder))

    def look_for_backend(self) -> None:
        self._give(lambda: self._answer(lambda: None))

    def start_backend(self, python: Path) -> None:
        self._give(lambda: self._answer(lambda: self._start(python)))

    def stop_backend(self) -> None:
        self._give(lambda: self._answer(self._stop))

    def news(self) -> Iterator[News]:
        """What came since the last call."""
        while True:
            try:
                yield self._news.get_nowait()
            except queue.Empty:
                return

    def close(self) -> None:
        """End the thread and wait for it. A job that the backend has goes on there."""
        self._closing.set()
        self._tasks.put(None)
        if self._thread is not None:
            self._thread.join(LONGEST_GOODBYE)

    def _give(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="unocclude-link", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None and not self._closing.is_set():
            task()

    def _answer(self, task: Callable[[], None]) -> None:
        try:
            task()
            self._news.put(BackendState(self._backend_answers()))
        except Exception as error:
            self._news.put(BackendState(False, with_cure(error)))

    def _run(self, order: Order) -> None:
        try:
            self._news.put(self._delivered(order))
        except _Leaving:
            pass
        except Exception as error:
            self._news.put(Failed(order.job, with_cure(error)))

    def _delivered(self, order: Order) -> Delivered:
        from ..wire.client import Client

        if not self._backend_answers():
            if isinstance(order.python, UnoccludeError):
                raise order.python
            self._news.put(Starting(order.job))
            self._start(order.python)
        if order.job in self._cancelled:
            raise Cancelled("The job was cancelled.")
        self._news.put(Sending(order.job))
        with Client(self._home, timeout=TIMEOUT, patience=PATIENCE) as client:
            if order.picture is not None:
                picture, completion = order.picture(), order.completion and order.completion()
                mask = _mask(client, order, picture)
                client.submit(order.spec, picture, mask, order.job, completion)
            self._follow(client, order.job)
            client.fetch(order.job, order.folder)
        imagined = result.read_imagined(order.folder)
        whole = order.spec.to == "mesh"
        return Delivered(order.job, imagined, result.read_result(order.folder, imagined) if whole else None)

    def _follow(self, client: Client, job: str) -> None:
        """Until the job is done. Raises its error, or _Leaving where this thread is asked to end."""
        asked = False
        for event in client.watch(job, tick=TICK):
            if self._closing.is_set():
                raise _Leaving
            if event is not None:
                self._news.put(event)
                if event.error is not None:
                    raise event.error
                if event.state == "cancelled":
                    raise Cancelled("The job was cancelled.")
            if job in self._cancelled and not asked:
                client.cancel(job)
                asked = True

    def _list_jobs(self, folder: Path) -> None:
        from ..wire.client import Client

        jobs: list[JobInfo] = []
        pictures = {}
        try:
            with Client(self._home, timeout=TIMEOUT, patience=0.0) as client:
                jobs = [job for job in client.jobs(LISTED) if job.spec.to in {"complete", "mesh"}]
                for job in jobs:
                    if job.state == "done" and any(artifact.name == THUMBNAIL for artifact in job.artifacts):
                        (pictures[job.job],) = client.fetch(job.job, folder / job.job, [THUMBNAIL])
            self._news.put(Jobs(jobs, pictures))
        except Exception as error:
            self._news.put(Jobs(jobs, pictures, with_cure(error)))

    def _backend_answers(self) -> bool:
        from ..wire.client import Client

        try:
            with Client(self._home, timeout=2.0, patience=0.0) as client:
                client.ping()
        except ServerUnavailableError:
            return False
        return True

    def _start(self, python: Path) -> None:
        from ..wire.launch import start_backend

        start_backend(python, self._home)

    def _stop(self) -> None:
        from ..wire.client import Client

        with Client(self._home, timeout=TIMEOUT, patience=0.0) as client:
            client.stop()


def _mask(client: Client, order: Order, picture: bytes) -> bytes | None:
    """What goes with the job as the visible part, None where the prompt alone is to find it."""
    if order.mask_of:
        info = client.job(order.mask_of)
        return client.read(order.mask_of, next(a for a in info.artifacts if a.name == VISIBLE_MASK))
    if order.painting is None:
        return order.mask
    prompt = order.spec.prompt
    found = nothing(order.painting)
    if prompt.points or prompt.box is not None:
        found, _, _ = read_mask(client.segment(picture, prompt, order.spec.profile).mask)
    return write_mask(painted(found, order.painting), order.painting.size[0])


class _Leaving(Exception):  # noqa: N818  (no fault)
    """The thread is asked to end while its job goes on at the backend."""


def with_cure(error: Exception) -> UnoccludeError:
    """The error as one that a person can act on."""
    if isinstance(error, UnoccludeError):
        return error
    if isinstance(error, ImportError):
        return UnoccludeError(f"pyzmq does not load ({error}).", PYZMQ_CURE)
    return UnoccludeError(f"A fault of the add-on: {error!r}.", REPORT_IT)
