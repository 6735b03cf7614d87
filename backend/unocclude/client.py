"""The one client of the backend: submit, follow, cancel, fetch. Needs pyzmq and the standard library only.

The add-on ships this file and those that it imports.
A `Client` belongs to the thread that made it; another thread makes its own.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq

from .connection import Connection, home_folder
from .errors import InputError, ServerUnavailableError, UnoccludeError
from .link import Link, LinkLost
from .protocol import (
    FINAL_STATES,
    MAX_CHUNK,
    MAX_PICTURE,
    Artifact,
    Event,
    JobInfo,
    JobSpec,
    Message,
    Prompt,
    ProtocolError,
    ServerStatus,
    encode,
    make_error,
)

QUIET = 2.0
"""Seconds without an event after which `follow` asks again."""
FIRST_RETRY, LAST_RETRY = 0.25, 8.0
"""Seconds before the first reconnect; each one waits twice as long as the one before, up to the last."""

HANDSHAKE = 10.0
"""Seconds for both sides to get to know each other."""
MASK_TIMEOUT = 120.0
"""Seconds for a mask: the first one may have to wait until the backend's segmenter has loaded its libraries."""


@dataclass(frozen=True)
class VisiblePart:
    """The answer to a click: `mask` is a PNG file's bytes, 8-bit grey of 0 and 255 in the image's size, good for
    `submit`; `rating` is the IoU with the object that the network expects of it, 0 to 1."""

    mask: bytes
    rating: float


def new_job_id() -> str:
    """A fresh id for a job: 32 hexadecimal digits."""
    return secrets.token_hex(16)


class Client:
    """A connection to the backend, made at the first request and made again whenever it breaks.

    `home` is the backend's home folder, by default the user's. `endpoint` overrides the address in its
    connection file. `timeout` is how long one request may take; `patience` how long a backend that was there
    before may be away, for example because it is being started again. Both in seconds.

    Every method raises ServerUnavailableError where the backend cannot be reached, ProtocolError where it
    talks nonsense, and UnoccludeError with the backend's own code where it refuses.
    """

    def __init__(
        self,
        home: Path | None = None,
        endpoint: str | None = None,
        timeout: float = 30.0,
        patience: float = 3.0,
    ) -> None:
        self._home = home or home_folder()
        self._endpoint = endpoint
        self._timeout = timeout
        self._patience = patience
        self._numbers = itertools.count(1)
        self._followed: set[str] = set()
        self._events: deque[Event] = deque()
        self._context: zmq.Context[Any] = zmq.Context()
        self._link: Link | None = None
        self._met = False
        self._picture: tuple[bytes, str] | None = None
        """The picture that was asked about last, and its digest."""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. The jobs go on."""
        self._hang_up()
        self._context.term()

    def ping(self) -> None:
        """Return if the backend answers."""
        self._request("ping")

    def hello(self) -> dict[str, Any]:
        """The backend's `server` version, `capabilities` and `limits`."""
        return self._request("hello").fields

    def status(self) -> ServerStatus:
        return ServerStatus.from_json(self._request("status").fields)

    def metrics(self) -> dict[str, Any]:
        """Counts and sizes since the backend's start, see PROTOCOL.md."""
        return dict(self._request("metrics").fields["metrics"])

    def submit(
        self,
        spec: JobSpec,
        image: bytes,
        mask: bytes | None = None,
        job: str | None = None,
        completion: bytes | None = None,
    ) -> str:
        """Hand in a job and return its id, once the backend has it on disk.

        `image`, `mask` and `completion` are the files' bytes, see PROTOCOL.md. With a `job` id of your own, submitting
        again does no harm.
        Raises InputError for an option out of range or a picture too large to send.
        """
        spec.check()
        job = job or new_job_id()
        pictures = {"image": image, "mask": mask or None, "completion": completion or None}
        self._request_about(pictures, "submit", {"job": job, "spec": spec.to_json()})
        return job

    def follow(self, job: str, after: int = 0) -> Iterator[Event]:
        """The job's events with a sequence number above `after`, up to the final one; none where that was seen.

        Survives a backend that is away for no longer than `patience`.
        """
        with closing(self.watch(job, after)) as events:
            yield from (event for event in events if event is not None)

    def watch(self, job: str, after: int = 0, tick: float = QUIET) -> Generator[Event | None, None, None]:
        """Like `follow`, but yields None after about `tick` seconds without an event.

        The caller may then look around, cancel or leave.
        """
        tick = min(tick, QUIET)
        self._followed.add(job)
        try:
            reply = self._request("follow", {"job": job, "after": after}).fields
            asked = alive = time.monotonic()
            while reply["state"] not in FINAL_STATES or reply["seq"] > after:
                event = self._next_event(job, after, tick)
                if event is not None:
                    after, asked, alive = event.seq, time.monotonic(), time.monotonic()
                    yield event
                    if event.final:
                        return
                    continue
                yield None
                if self._link is not None and time.monotonic() - asked < QUIET:
                    continue
                try:
                    reply = self._request("follow", {"job": job, "after": after}, timeout=QUIET, patience=0).fields
                    asked = alive = time.monotonic()
                except ServerUnavailableError:
                    if time.monotonic() - alive > self._patience:
                        raise
                    time.sleep(min(tick, FIRST_RETRY))
        finally:
            self._followed.discard(job)
            self._events = deque(event for event in self._events if event.job != job)
            if self._link is not None:
                self._link.try_send(encode("unfollow", {"id": next(self._numbers), "job": job}))

    def wait(self, job: str, on_event: Callable[[Event], None] | None = None) -> Event:
        """Follow the job to its end and return the final event.

        Raises the job's error where it failed, `Cancelled` where it was cancelled.
        """
        for event in self.follow(job):
            if on_event is not None:
                on_event(event)
        if event.error is not None:
            raise event.error
        return event

    def cancel(self, job: str) -> None:
        """Ask for the job's end. It comes as an event."""
        self._request("cancel", {"job": job})

    def job(self, job: str) -> JobInfo:
        return JobInfo.from_json(self._request("job", {"job": job}).fields["info"])

    def jobs(self, limit: int = 100) -> list[JobInfo]:
        """The newest jobs first."""
        return [JobInfo.from_json(info) for info in self._request("jobs", {"limit": limit}).fields["jobs"]]

    def read(self, job: str, artifact: Artifact) -> bytes:
        """The bytes of one artifact, checked against its sha256."""
        data = bytearray()
        while True:
            fields = {"job": job, "name": artifact.name, "offset": len(data), "length": MAX_CHUNK}
            chunk = self._request("fetch", fields)
            data += chunk.blobs[0]
            if len(data) >= artifact.size or not chunk.blobs[0]:
                break
        if hashlib.sha256(data).hexdigest() != artifact.sha256:
            raise ProtocolError(f"{artifact.name} of job {job} did not arrive as it was announced.", "Fetch it again.")
        return bytes(data)

    def fetch(self, job: str, folder: Path, names: Sequence[str] | None = None) -> list[Path]:
        """Write the files of a job that is done (or only these) below `folder` and return their paths.

        A file appears whole or not at all; one that is there already with the same content is not fetched
        again. Raises UnoccludeError with the code `not_found` where the job has no such files.
        """
        info = self.job(job)
        missing = set(names or ()) - {artifact.name for artifact in info.artifacts}
        if missing or info.state != "done":
            what = ", ".join(sorted(missing)) or "files"
            raise make_error("not_found", f"Job {job} has no {what}; it is {info.state}.", "See `unocclude jobs`.")
        return [
            self._write(job, artifact, folder / artifact.name)
            for artifact in info.artifacts
            if names is None or artifact.name in names
        ]

    def _write(self, job: str, artifact: Artifact, path: Path) -> Path:
        try:
            if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == artifact.sha256:
                return path
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f"{path.name}.part")
            draft.write_bytes(self.read(job, artifact))
            os.replace(draft, path)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error}).", "Choose another folder.") from error
        return path

    def segment(self, image: bytes, prompt: Prompt, profile: str = "bundled") -> VisiblePart:
        """The visible part of what the prompt means, at once, also while a job runs.

        The image file travels with the first request alone, and a further prompt on it costs only the network's
        decoder. Raises InputError where the prompt finds nothing or the file is no picture.
        """
        reply = self._segment(image, {"prompt": asdict(prompt), "profile": profile})
        return VisiblePart(reply.blobs[0], reply.fields["rating"])

    def prepare(self, image: bytes, profile: str = "bundled") -> None:
        """Let the backend get ready for prompts on this image, so that the first mask comes as fast as the others."""
        self._segment(image, {"prompt": None, "profile": profile})

    def _segment(self, image: bytes, fields: dict[str, Any]) -> Message:
        return self._request_about({"image": image}, "segment", fields, MASK_TIMEOUT)

    def _request_about(
        self,
        pictures: Mapping[str, bytes | None],
        kind: str,
        fields: Mapping[str, Any],
        timeout: float | None = None,
    ) -> Message:
        """A request about picture files. Those that the backend does not have are sent first, and stay there."""
        digests = {name: None if file is None else self._digest(file) for name, file in pictures.items()}
        try:
            return self._request(kind, {**fields, **digests}, timeout=timeout)
        except UnoccludeError as error:
            if error.code != "not_found":
                raise
        for file in pictures.values():
            if file is not None:
                self._upload(file)
        return self._request(kind, {**fields, **digests}, timeout=timeout)

    def _upload(self, picture: bytes) -> None:
        have = 0
        for _ in range(2 * MAX_PICTURE // MAX_CHUNK):  # enough to begin again after a restart of the backend
            fields = {"picture": self._digest(picture), "size": len(picture), "offset": have}
            have = self._request("upload", fields, [picture[have : have + MAX_CHUNK]]).fields["have"]
            if have >= len(picture):
                return
        raise ProtocolError("The backend takes the picture's parts and never has it all.", "Restart the backend.")

    def _digest(self, picture: bytes) -> str:
        """The sha256; that of a picture that was just asked about is known already."""
        if not 0 < len(picture) <= MAX_PICTURE:
            raise InputError(
                f"A picture file of {len(picture)} bytes cannot be sent.",
                f"Use one of at most {MAX_PICTURE >> 20} MiB, for example a JPEG.",
            )
        if self._picture is None or self._picture[0] is not picture:
            self._picture = picture, hashlib.sha256(picture).hexdigest()
        return self._picture[1]

    def stop(self) -> None:
        """End the backend. Its unfinished jobs go on at its next start."""
        self.ping()
        try:
            self._request("stop")
        except ServerUnavailableError:
            if Connection.path(self._home).exists():
                raise
            # It has gone before its reply arrived, and that is an answer too.

    def _request(
        self,
        kind: str,
        fields: Mapping[str, Any] | None = None,
        blobs: Sequence[bytes] = (),
        timeout: float | None = None,
        patience: float | None = None,
    ) -> Message:
        """Send a request until its reply comes. Every request may be repeated safely."""
        number = next(self._numbers)
        frames = encode(kind, {"id": number, **(fields or {})}, blobs)
        timeout = self._timeout if timeout is None else timeout
        patience = self._patience if patience is None else patience
        deadline = time.monotonic() + timeout
        away_since: float | None = None
        pause = FIRST_RETRY
        while True:
            try:
                link = self._connected(deadline)
                away_since, pause = None, FIRST_RETRY
                reply = self._reply(link, frames, number, deadline)
            except LinkLost as lost:
                self._hang_up()
                now = time.monotonic()
                away_since = away_since or now
                if lost.for_good or not self._met or now + pause > min(away_since + patience, deadline):
                    raise lost.reason from None
                time.sleep(pause)
                pause = min(2 * pause, LAST_RETRY)
                continue
            if reply is None:
                self._hang_up()
                raise ServerUnavailableError(
                    f"The backend at {link.endpoint} is there but has not answered for {timeout:g} s.",
                    "Wait a little; if it stays so, end its process and start it again.",
                )
            if reply.type == "error":
                raise make_error(reply.fields["code"], reply.fields["message"], reply.fields["cure"])
            return reply

    def _connected(self, deadline: float) -> Link:
        if self._link is None:
            try:
                connection = Connection.load(self._home)
            except ServerUnavailableError as error:
                raise LinkLost(error) from None
            link = Link(self._context, connection, self._endpoint or connection.endpoint)
            try:
                link.shake_hands(min(deadline, time.monotonic() + HANDSHAKE))
            except LinkLost:
                link.close()
                raise
            self._link = link
            self._met = True
        return self._link

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _reply(self, link: Link, frames: list[bytes], number: int, deadline: float) -> Message | None:
        """The reply to this request, None where none comes in time. Events that come first are kept."""
        link.send(frames, deadline)
        while True:
            message = link.receive(deadline)
            if message is None:
                return None
            if message.type == "event":
                self._keep(message)
            elif message.fields["re"] == number:
                return message

    def _keep(self, message: Message) -> None:
        if message.fields["job"] in self._followed:
            self._events.append(Event.from_json(message.fields, message.blobs[0] if message.blobs else None))

    def _next_event(self, job: str, after: int, wait: float) -> Event | None:
        """The next event of this job above `after`; None where none comes within `wait` seconds."""
        deadline = time.monotonic() + wait
        while True:
            for event in list(self._events):
                if event.job == job:
                    self._events.remove(event)
                    if event.seq > after:
                        return event
            try:
                message = self._link.receive(deadline) if self._link is not None else None
            except LinkLost:
                self._hang_up()
                return None
            if message is None:
                return None
            if message.type == "event":
                self._keep(message)
