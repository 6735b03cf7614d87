"""The wire between client and backend: what a job is, and how messages are written. Standard library only.

The add-on ships this file as it is, so it runs in Blender's Python (3.10 and up) without the backend
installed. PROTOCOL.md is the authority on the wire format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from .checks import Check, Rules, a_list, a_truth, an_object, number, one_of, or_none, text, whole, wrong_field
from .errors import InputError, UnoccludeError

VERSION = 1
MAX_HEADER = 1024 * 1024
MAX_FRAME = 8 * 1024 * 1024
MAX_CHUNK = 1024 * 1024
MAX_PICTURE = 64 * 1024 * 1024
MAX_BLOBS = 1
MAX_POINTS = 64
SMALLEST_SIDE, LARGEST_SIDE = 16, 20_000
"""Of a crop, in pixels."""

Stage = Literal["segment", "complete", "views", "mesh"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Preset = Literal["fast", "balanced", "quality"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
SamplerName = Literal["fast", "reference"]
"""DPM-Solver++ in few steps, or the authors' own DDIM, quirks included, in many."""
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
State = Literal["queued", "running", "cancelling", "done", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
WORKER_STATES = ("none", "starting", "idle", "busy")
FINAL_STATES: frozenset[State] = frozenset({"done", "failed", "cancelled"})


Square = tuple[int, int, int]
"""Left, top and side in pixels of the image; it may reach beyond the image."""


class ProtocolError(UnoccludeError):
    """The other side said something that PROTOCOL.md does not allow."""

    code = "protocol"


@dataclass(frozen=True)
class Prompt:
    """What the artist pointed at, in pixels of the image as given: x right, y down, origin at the top left."""

    points: tuple[tuple[float, float], ...] = ()
    negatives: tuple[tuple[float, float], ...] = ()
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class JobSpec:
    """Everything that decides a job's result, except the pictures themselves (image, optional mask and completion).

    `crop` is where the whole object is imagined, or where a completion that is brought lies; None for one that is
    found about the visible part. `elevation` is the camera's height above the object's equator in degrees, None for an
    estimate. `choose` is the completion that goes on to 3D, None for the one closest to the majority vote.
    `steps` and `guidance` are None for the profile's own defaults. `sampler` is the fast one or the authors' own.
    `to` is the last stage to run.
    """

    prompt: Prompt = field(default_factory=Prompt)
    profile: str = "bundled"
    samples: int = 4
    choose: int | None = None
    crop: Square | None = None
    elevation: float | None = None
    steps: int | None = None
    guidance: float | None = None
    sampler: SamplerName = "fast"
    preset: Preset = "balanced"
    seed: int = 0
    device: str = "auto"
    to: Stage = "mesh"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> JobSpec:
        """Raises InputError on unknown fields, wrong types and values out of range."""
        try:
            prompt = dict(values.get("prompt", {}))
            box = prompt.get("box")
            crop = values.get("crop")
            spec = cls(
                **{
                    **values,
                    "prompt": Prompt(
                        points=tuple((float(x), float(y)) for x, y in prompt.get("points", ())),
                        negatives=tuple((float(x), float(y)) for x, y in prompt.get("negatives", ())),
                        box=None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                    ),
                    "crop": None if crop is None else tuple(crop),
                }
            )
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError) as error:
            raise InputError(f"The job is not written as it should be: {error}.", "See JobSpec.") from error
        spec.check()
        return spec

    def check(self) -> None:
        """Raises InputError where an option's type or range is wrong. The pictures are not looked at."""
        for name, (good, cure) in _SPEC_RULES.items():
            value = getattr(self, name)
            if not good(value):
                raise InputError(f"{name} cannot be {str(value)[:80]!r}.", cure)
        if self.choose is not None and self.choose >= self.samples:
            raise InputError(f"There is no sample {self.choose} of {self.samples}.", "Samples are counted from 0.")


def _good_prompt(value: object) -> bool:
    if not isinstance(value, Prompt) or len(value.points) + len(value.negatives) > MAX_POINTS:
        return False
    numbers = [
        *(number for point in (*value.points, *value.negatives) for number in point),
        *(value.box or ()),
    ]
    return all(math.isfinite(number) for number in numbers)


def _good_crop(value: object) -> bool:
    place, side = whole(-LARGEST_SIDE, LARGEST_SIDE), whole(SMALLEST_SIDE, LARGEST_SIDE)
    return isinstance(value, tuple) and len(value) == 3 and place(value[0]) and place(value[1]) and side(value[2])


_SPEC_RULES: dict[str, tuple[Check, str]] = {
    "prompt": (_good_prompt, f"Give at most {MAX_POINTS} points, each with finite x and y."),
    "profile": (text(r"[a-z0-9_-]{1,40}"), "Use bundled or official."),
    "samples": (whole(1, 16), "Use 1 to 16."),
    "choose": (or_none(whole(0, 15)), "Use the number of a sample, counted from 0."),
    "crop": (
        or_none(_good_crop),
        f"Give left, top and side in whole pixels, the side from {SMALLEST_SIDE} to {LARGEST_SIDE}.",
    ),
    "elevation": (or_none(number(-90, 90)), "Use degrees from -90 to 90, or leave it out for an estimate."),
    "steps": (or_none(whole(1, 1000)), "Use 1 to 1000."),
    "guidance": (or_none(number(0, 20)), "Use 0 to 20."),
    "sampler": (one_of(SAMPLERS), f"Use one of {', '.join(SAMPLERS)}."),
    "preset": (one_of(PRESETS), f"Use one of {', '.join(PRESETS)}."),
    "seed": (whole(0, 2**31 - 1), "Use a whole number from 0 to 2147483647."),
    "device": (text(r"[a-z]{2,8}(:[0-9]{1,2})?"), "Use auto, cpu, cuda or mps."),
    "to": (one_of(STAGES), f"Use one of {', '.join(STAGES)}."),
}


@dataclass(frozen=True)
class Event:
    """A snapshot of a job, see PROTOCOL.md. Times in seconds; `preview` is a PNG file's bytes."""

    job: str
    seq: int
    time: float
    state: State
    stage: str | None = None
    step: int = 0
    total: int = 0
    elapsed: float = 0.0
    eta: float | None = None
    error: UnoccludeError | None = None
    preview: bytes | None = None

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES

    def to_json(self) -> dict[str, Any]:
        """The header's fields; the preview travels as a blob."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "preview"}
        return {**values, "error": error_to_json(self.error)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], preview: bytes | None = None) -> Event:
        """From fields that `decode` has checked."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name != "preview"}
        return cls(**{**known, "error": error_from_json(values["error"]), "preview": preview})


@dataclass(frozen=True)
class Artifact:
    """A file that a job left: relative name with `/`, size in bytes, sha256 in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class JobInfo:
    """A job as the backend knows it. Times are Unix seconds; `ahead` counts the jobs that come first, and `given` tells
    whether its completion was handed in."""

    job: str
    spec: JobSpec
    state: State
    created: float
    started: float | None
    ended: float | None
    seq: int
    ahead: int
    given: bool
    error: UnoccludeError | None
    artifacts: tuple[Artifact, ...]

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            **values,
            "spec": self.spec.to_json(),
            "error": error_to_json(self.error),
            "artifacts": [asdict(artifact) for artifact in self.artifacts],
        }

    @classmethod
    def from_json(cls, values: object) -> JobInfo:
        """Raises ProtocolError where something is missing or of a wrong type."""
        checked = _checked("job info", values, _JOB_INFO)
        artifacts = tuple(
            Artifact(**{name: artifact[name] for name in _ARTIFACT})
            for artifact in (_checked("artifact", item, _ARTIFACT) for item in checked["artifacts"])
        )
        return cls(
            **{
                **{name: checked[name] for name in _JOB_INFO},
                "spec": JobSpec.from_json(checked["spec"]),
                "error": error_from_json(checked["error"]),
                "artifacts": artifacts,
            }
        )


@dataclass(frozen=True)
class WorkerStatus:
    """One device's worker: the device's name, `state` as in WORKER_STATES, and the id of the job that it works on."""

    device: str
    state: str
    job: str | None


@dataclass(frozen=True)
class ServerStatus:
    """How the backend is: its version, process id, seconds since its start, number of waiting jobs, and its workers."""

    server: str
    pid: int
    uptime: float
    queued: int
    workers: tuple[WorkerStatus, ...]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ServerStatus:
        """From fields that `decode` has checked. Raises ProtocolError where a worker is not described as it should."""
        workers = (_checked("worker", worker, _WORKER) for worker in values["workers"])
        known = {name: values[name] for name in cls.__dataclass_fields__}
        return cls(**{**known, "workers": tuple(WorkerStatus(**{name: w[name] for name in _WORKER}) for w in workers)})


def error_to_json(error: UnoccludeError | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"code": error.code, "message": error.message[:_MAX_TEXT], "cure": error.cure[:_MAX_TEXT]}


def error_from_json(values: Mapping[str, Any] | None) -> UnoccludeError | None:
    return None if values is None else make_error(values["code"], values["message"], values["cure"])


def make_error(code: str, message: str, cure: str) -> UnoccludeError:
    """The error of this code: of the class that stands for it where there is one."""
    classes = {kind.code: kind for kind in UnoccludeError.__subclasses__()}
    error = classes.get(code, UnoccludeError)(message, cure)
    error.code = code
    return error


_COUNT = whole(0, 2**63 - 1)
_TIME = number(0, 1e12)
_MAX_TEXT = 2000
_ANY_TEXT = text(rf"(?s).{{0,{_MAX_TEXT}}}")
_WINDOWS_DEVICE = r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])"
_SEGMENT = rf"(?!(?i:{_WINDOWS_DEVICE})(?:\.|/|$))[A-Za-z0-9_][A-Za-z0-9_.-]{{0,63}}(?<!\.)"
_is_artifact_name = text(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,3}}")
_DIGEST = text(r"[0-9a-f]{64}")
is_job_id = text(r"[0-9a-f]{32}")


def is_artifact_name(name: object) -> bool:
    """Whether this relative path is safe to write below any folder, on any platform."""
    return _is_artifact_name(name)


def _is_error(value: object) -> bool:
    return isinstance(value, dict) and all(_ANY_TEXT(value.get(name)) for name in ("code", "message", "cure"))


_ARTIFACT: Rules = {"name": is_artifact_name, "size": _COUNT, "sha256": _DIGEST}
_WORKER: Rules = {"device": _ANY_TEXT, "state": one_of(WORKER_STATES), "job": or_none(is_job_id)}
_JOB_INFO: Rules = {
    "job": is_job_id,
    "spec": an_object,
    "state": one_of(STATES),
    "created": _TIME,
    "started": or_none(_TIME),
    "ended": or_none(_TIME),
    "seq": _COUNT,
    "ahead": _COUNT,
    "given": a_truth,
    "error": or_none(_is_error),
    "artifacts": a_list,
}


class Shape(NamedTuple):
    """What a message of one type must look like."""

    fields: Rules
    blobs: tuple[int, int] = (0, 0)
    """At least and at most so many."""


_REQUEST: Rules = {"id": _COUNT}
_REPLY: Rules = {"re": _COUNT}
_JOB: Rules = {"job": is_job_id}

PROGRESS: Rules = {"stage": text(r"[\w -]{1,40}"), "step": _COUNT, "total": _COUNT}

_PICTURES: Rules = {"image": _DIGEST, "mask": or_none(_DIGEST), "completion": or_none(_DIGEST)}

REQUESTS: dict[str, Shape] = {
    "hello": Shape(_REQUEST),
    "ping": Shape(_REQUEST),
    "upload": Shape({**_REQUEST, "picture": _DIGEST, "size": whole(1, MAX_PICTURE), "offset": _COUNT}, (1, 1)),
    "submit": Shape({**_REQUEST, **_JOB, "spec": an_object, **_PICTURES}),
    "follow": Shape({**_REQUEST, **_JOB, "after": _COUNT}),
    "unfollow": Shape({**_REQUEST, **_JOB}),
    "cancel": Shape({**_REQUEST, **_JOB}),
    "job": Shape({**_REQUEST, **_JOB}),
    "jobs": Shape({**_REQUEST, "limit": whole(1, 100)}),
    "fetch": Shape(
        {
            **_REQUEST,
            **_JOB,
            "name": is_artifact_name,
            "offset": _COUNT,
            "length": whole(1, MAX_CHUNK),
        }
    ),
    "segment": Shape(
        {**_REQUEST, "image": _DIGEST, "profile": _SPEC_RULES["profile"][0], "prompt": or_none(an_object)}
    ),
    "status": Shape(_REQUEST),
    "metrics": Shape(_REQUEST),
    "stop": Shape(_REQUEST),
}

ANSWERS: dict[str, Shape] = {
    "welcome": Shape({**_REPLY, "server": _ANY_TEXT, "capabilities": a_list, "limits": an_object}),
    "pong": Shape(_REPLY),
    "uploaded": Shape({**_REPLY, "picture": _DIGEST, "have": _COUNT}),
    "accepted": Shape({**_REPLY, **_JOB, "new": lambda value: isinstance(value, bool), "seq": _COUNT}),
    "following": Shape({**_REPLY, **_JOB, "seq": _COUNT, "state": one_of(STATES)}),
    "unfollowed": Shape({**_REPLY, **_JOB}),
    "cancelling": Shape({**_REPLY, **_JOB, "state": one_of(STATES)}),
    "job": Shape({**_REPLY, "info": an_object}),
    "jobs": Shape({**_REPLY, "jobs": a_list}),
    "chunk": Shape({**_REPLY, **_JOB, **_ARTIFACT, "offset": _COUNT}, (1, 1)),
    "mask": Shape({**_REPLY, "rating": or_none(number(0, 1))}, (0, 1)),
    "status": Shape(
        {
            **_REPLY,
            "server": _ANY_TEXT,
            "pid": _COUNT,
            "uptime": _TIME,
            "queued": _COUNT,
            "workers": a_list,
        }
    ),
    "metrics": Shape({**_REPLY, "metrics": an_object}),
    "stopping": Shape(_REPLY),
    "error": Shape({"re": or_none(_COUNT), "code": _ANY_TEXT, "message": _ANY_TEXT, "cure": _ANY_TEXT}),
    "event": Shape(
        {
            **_JOB,
            "seq": _COUNT,
            "time": _TIME,
            "state": one_of(STATES),
            **PROGRESS,
            "stage": or_none(PROGRESS["stage"]),
            "elapsed": _TIME,
            "eta": or_none(_TIME),
            "error": or_none(_is_error),
        },
        (0, 1),
    ),
}


class Message(NamedTuple):
    """A message as read: its type, its header's fields, its blobs."""

    type: str
    fields: dict[str, Any]
    blobs: tuple[bytes, ...]


def encode(kind: str, fields: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> list[bytes]:
    """The frames of a message. Raises ProtocolError where it is over a limit, before anything is sent."""
    header = json.dumps({"v": VERSION, "type": kind, **fields}, separators=(",", ":"), allow_nan=False).encode()
    if len(header) > MAX_HEADER:
        raise ProtocolError(f"The header of {kind} is {len(header)} bytes long.", f"At most {MAX_HEADER} fit.")
    for blob in blobs:
        if len(blob) > MAX_FRAME:
            raise ProtocolError(f"A blob of {kind} is {len(blob)} bytes long.", f"At most {MAX_FRAME} fit.")
    return [header, *blobs]


def decode(frames: Sequence[bytes], shapes: Mapping[str, Shape]) -> Message:
    """The message in these frames. Raises ProtocolError, and nothing else, where it is none of `shapes`."""
    if not 1 <= len(frames) <= 1 + MAX_BLOBS:
        raise ProtocolError(f"A message cannot have {len(frames)} frames.", _SEE)
    header = _header(frames[0])
    if header.get("v") != VERSION:
        error = ProtocolError(f"This side speaks protocol {VERSION}, the other {str(header.get('v'))[:20]}.", _UPDATE)
        error.code = "version"
        raise error
    kind = header.get("type")
    shape = shapes.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise ProtocolError(f"There is no message of type {str(kind)[:40]!r} here.", _SEE)
    fields = _checked(str(kind), header, shape.fields)
    blobs = tuple(frames[1:])
    if not shape.blobs[0] <= len(blobs) <= shape.blobs[1]:
        raise ProtocolError(f"{kind} cannot have {len(blobs)} blobs.", _SEE)
    return Message(str(kind), fields, blobs)


_SEE = "See PROTOCOL.md."
_UPDATE = "Use the same version of Unocclude on both sides."


def _header(frame: bytes) -> dict[str, Any]:
    if len(frame) > MAX_HEADER:
        raise ProtocolError(f"A header of {len(frame)} bytes is too long.", _SEE)
    try:
        header = json.loads(frame.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("The header is not JSON in UTF-8.", _SEE) from error
    if not isinstance(header, dict):
        raise ProtocolError("The header is not a JSON object.", _SEE)
    return header


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _checked(what: str, values: object, rules: Rules) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ProtocolError(f"{what} is not an object.", _SEE)
    wrong = wrong_field(values, rules)
    if wrong is not None:
        raise ProtocolError(f"{what} has no good {wrong}.", _SEE)
    return values
