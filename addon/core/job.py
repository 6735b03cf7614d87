"""One reconstruction as the add-on sees it: which phase it is in and what to tell about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..wire.errors import Cancelled, UnoccludeError
from ..wire.protocol import STAGES, Event, JobSpec
from .result import Imagined, Result


class Phase(Enum):
    SENDING = "Sending the picture"
    STARTING = "Starting the backend"
    QUEUED = "Waiting in the queue"
    RUNNING = "Working"
    CANCELLING = "Cancelling"
    FETCHING = "Fetching the mesh"
    CHOOSING = "Choose what it looks like"
    ARRIVED = "The mesh is ready"
    PLACED = "The mesh is in the scene"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


_ENDED = {Phase.CHOOSING, Phase.PLACED, Phase.FAILED, Phase.CANCELLED}
_NEXT: dict[Phase, set[Phase]] = {
    Phase.SENDING: {Phase.STARTING, Phase.QUEUED, Phase.RUNNING, Phase.FETCHING},  # done before, where it is not new
    Phase.STARTING: {Phase.SENDING},
    Phase.QUEUED: {Phase.RUNNING, Phase.FETCHING},
    Phase.RUNNING: {Phase.QUEUED, Phase.FETCHING},  # back in the queue where the backend was started anew
    Phase.CANCELLING: {Phase.FETCHING},  # done before the wish arrived
    Phase.FETCHING: {Phase.ARRIVED, Phase.CHOOSING},
    Phase.ARRIVED: {Phase.PLACED},
}
_CANCELLABLE = {Phase.SENDING, Phase.STARTING, Phase.QUEUED, Phase.RUNNING}
_PHASE_OF_STATE = {
    "queued": Phase.QUEUED,
    "running": Phase.RUNNING,
    "cancelling": Phase.CANCELLING,
    "done": Phase.FETCHING,
}
_STAGE_LABELS = {
    "segment": "Finding the visible part",
    "complete": "Imagining the hidden part",
    "views": "Drawing it from all sides",
    "mesh": "Shaping the mesh",
}


@dataclass
class Job:
    """Belongs to the main thread. `picture`, `scene` and `replaces`, the object to replace, are names, never
    references into Blender's data.

    `strayed` is true once another file was opened meanwhile: then the artist decides where the mesh goes.
    `origin` is the job whose completions are to choose from, where it is not this one itself. `given` is true where the
    completion was handed in, not imagined by this job.
    `coverage` is how well the mesh in the scene, seen by `camera`, covers the object in the photograph; None until that
    is known.
    """

    spec: JobSpec
    picture: str
    scene: str
    replaces: str = ""
    id: str = field(default_factory=lambda: uuid4().hex)
    phase: Phase = Phase.SENDING
    event: Event | None = None
    preview: bytes | None = None
    imagined: Imagined | None = None
    result: Result | None = None
    coverage: float | None = None
    camera: str | None = None
    error: UnoccludeError | None = None
    strayed: bool = False
    origin: Job | None = None
    given: bool = False

    def enter(self, phase: Phase) -> None:
        """Go on to a phase. Raises ValueError where none leads there from the present one."""
        if phase is self.phase or (self.phase is Phase.CANCELLING and phase in _CANCELLABLE):
            return
        always = set() if self.ended else {Phase.FAILED, Phase.CANCELLED}
        wish = {Phase.CANCELLING} if self.cancellable else set()
        if phase not in _NEXT.get(self.phase, set()) | always | wish:
            raise ValueError(f"a job cannot go from {self.phase.name} to {phase.name}")
        self.phase = phase

    def progress(self, event: Event) -> None:
        """Take in the backend's news. The final ones, failed and cancelled, come as an error: see `fail`."""
        self.event = event
        if event.preview is not None:
            self.preview = event.preview
        if event.state in _PHASE_OF_STATE:
            self.enter(_PHASE_OF_STATE[event.state])

    def arrive(self, imagined: Imagined, result: Result | None) -> None:
        """With no result, the artist is to choose a completion that goes on."""
        self.enter(Phase.FETCHING)
        self.enter(Phase.CHOOSING if result is None else Phase.ARRIVED)
        self.imagined, self.result = imagined, result

    @property
    def gallery(self) -> Job:
        """The job whose completions are to choose from."""
        return self.origin or self

    @property
    def source(self) -> Source:
        crop = None if self.imagined is None else self.imagined.crop
        return Source(self.id, replace(self.spec, crop=crop), self.picture)

    def completion(self, number: int | None = None) -> Path:
        """The file of this completion, by default of the one that went on. Raises ValueError before there is one."""
        if self.imagined is None:
            raise ValueError("nothing was imagined yet")
        return self.imagined.pictures[(self.imagined.chosen or 0) if number is None else number]

    def fail(self, error: UnoccludeError) -> None:
        self.enter(Phase.CANCELLED if isinstance(error, Cancelled) else Phase.FAILED)
        self.error = error

    @property
    def ended(self) -> bool:
        return self.phase in _ENDED

    @property
    def cancellable(self) -> bool:
        return self.phase in _CANCELLABLE

    @property
    def fraction(self) -> float:
        """How much of the whole way is done, from 0 to 1; each stage counts the same."""
        if self.phase in {Phase.FETCHING, Phase.CHOOSING, Phase.ARRIVED, Phase.PLACED}:
            return 1.0
        if self.event is None or self.event.stage not in STAGES:
            return 0.0
        ahead = STAGES.index(self.spec.to) + 1
        within = min(self.event.step / self.event.total, 1.0) if self.event.total else 0.0
        return min((STAGES.index(self.event.stage) + within) / ahead, 1.0)

    @property
    def headline(self) -> str:
        """What happens now, in words."""
        if self.phase is Phase.RUNNING and self.event is not None and self.event.stage is not None:
            return _STAGE_LABELS.get(self.event.stage, self.event.stage.capitalize())
        return self.phase.value

    @property
    def details(self) -> list[str]:
        """Step and time left, as far as they are known."""
        event = self.event
        if self.phase is not Phase.RUNNING or event is None:
            return []
        steps = [f"Step {event.step} of {event.total}"] if event.total else []
        left = [f"About {duration(event.eta)} left"] if event.eta is not None else []
        return steps + left


@dataclass(frozen=True)
class Source:
    """Where a completion comes from that is to go on: the job that imagined it, that job's spec, with the crop in
    which the completion lies, and the photograph.
    """

    job: str
    spec: JobSpec
    picture: str

    def to_text(self) -> str:
        return json.dumps({"job": self.job, "spec": self.spec.to_json(), "picture": self.picture})

    @classmethod
    def from_text(cls, text: str) -> Source:
        """Raises ValueError, KeyError or UnoccludeError."""
        values = json.loads(text)
        return cls(values["job"], JobSpec.from_json(values["spec"]), values["picture"])

    def going_on(self, **changes: Any) -> JobSpec:
        """What to order where the completion itself is handed in."""
        return replace(self.spec, **{"choose": None, "to": "mesh", **changes})


def duration(seconds: float) -> str:
    """A rough time for people: 8 s, 2 min, 1 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
