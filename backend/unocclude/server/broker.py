"""The broker: one thread that answers clients, keeps the queue and watches the worker, and never touches a device.

Followers are served from the store: each has a sequence number, and gets what lies above it while its queue
has room.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import zmq

from unocclude import __version__
from unocclude.connection import Connection
from unocclude.errors import UnoccludeError
from unocclude.protocol import (
    FINAL_STATES,
    MAX_CHUNK,
    MAX_FRAME,
    MAX_HEADER,
    MAX_PICTURE,
    REQUESTS,
    JobSpec,
    ServerStatus,
    decode,
    encode,
    error_to_json,
    make_error,
)
from unocclude.server.auth import CLIENTS, SEGMENTERS, WORKERS, Gate, KeyPair
from unocclude.server.blobs import BlobStore
from unocclude.server.clients import OWN, ClientBook
from unocclude.server.devices import AUTO
from unocclude.server.intake import MAX_QUEUED, Intake
from unocclude.server.jobs import JobStore, StoredJob
from unocclude.server.rates import RateLimit
from unocclude.server.retention import Limits, Retention
from unocclude.server.segment_desk import Click, MaskOrError, SegmentDesk
from unocclude.server.sockets import PeerGone, Router
from unocclude.server.supervisor import Supervisor
from unocclude.server.worker import STAGES_FOLDER

log = logging.getLogger(__name__)

TICK = 100
"""Milliseconds between looks at the worker."""
MAX_FOLLOWERS = 1024
REQUESTS_PER_SECOND, REQUESTS_AT_ONCE = 1000.0, 4000.0
"""Of one client; more are refused. A large mesh is fetched with a few dozen."""


class Request(NamedTuple):
    """What a client asks; `client` is its routing id, `key` its public key, `own` whether it is the user's own."""

    client: bytes
    key: str
    own: bool
    fields: dict[str, Any]
    blobs: tuple[bytes, ...]


class Answer(NamedTuple):
    type: str
    fields: dict[str, Any]
    blobs: tuple[bytes, ...] = ()


class Broker:
    """Opens the store and the sockets; `run` serves until `stop`.

    Raises UnoccludeError where the store cannot be used, ServerUnavailableError where the endpoint is taken.
    """

    def __init__(
        self, home: Path, endpoint: str, runner: str, segmenter: str, limits: Limits, devices: Sequence[str] = (AUTO,)
    ) -> None:
        self._home = home
        self._started = time.monotonic()
        self._stopping = False
        self._followers: dict[tuple[bytes, str], int] = {}
        """(client, job) to the last sequence number sent."""
        self._users: dict[bytes, str] = {}
        """The key of each client that follows a job."""
        self._rate = RateLimit(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE)
        self._asked: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._blobs = BlobStore(home)
        self._jobs = JobStore(home / "jobs.sqlite")
        self._jobs.recover()
        self._intake = Intake(home, self._jobs, self._blobs)
        self._retention = Retention(self._jobs, self._blobs, home / STAGES_FOLDER, limits)
        keys = KeyPair.at(home / "keys" / "server.json")
        self._clients = ClientBook(home)
        self._context: zmq.Context[Any] = zmq.Context()
        self._gate = Gate(self._context)
        self._front = Router(self._context, self._gate, CLIENTS, keys, endpoint)
        workers, segmenters = (
            Router(self._context, self._gate, domain, keys, "tcp://127.0.0.1:*") for domain in (WORKERS, SEGMENTERS)
        )
        self._supervisor = Supervisor(home, runner, self._jobs, workers, self._gate, keys.public, devices)
        self._desk = SegmentDesk(home, segmenter, segmenters, self._gate, keys.public, self._give_mask)
        own = self._clients.own
        self.connection = Connection(self._front.endpoint, keys.public, own.public, own.secret, os.getpid())
        self._handlers: dict[str, Callable[[Request], Answer | None]] = {
            "hello": self._hello,
            "ping": self._ping,
            "upload": self._upload,
            "submit": self._submit,
            "follow": self._follow,
            "unfollow": self._unfollow,
            "cancel": self._cancel,
            "job": self._job,
            "jobs": self._list,
            "fetch": self._fetch,
            "segment": self._segment,
            "status": self._status,
            "metrics": self._metrics,
            "stop": self._stop,
        }

    def run(self) -> None:
        """Serve until told to stop. Unfinished jobs stay in the store."""
        turns = {
            self._gate.socket: self._gate.answer,
            self._supervisor.router.socket: self._supervisor.hear,
            self._desk.router.socket: self._desk.hear,
            self._front.socket: self._hear,
        }
        poller = zmq.Poller()
        for socket in turns:
            poller.register(socket, zmq.POLLIN)
        while not self._stopping:
            ready = dict(poller.poll(TICK))
            try:
                self._gate.known[CLIENTS] = set(self._clients.names())
                for socket, turn in turns.items():
                    if socket in ready:
                        turn()
                self._supervisor.watch()
                self._desk.watch()
                self._retention.turn()
                self._tell_followers()
            except (OSError, sqlite3.Error):
                log.exception("the store failed; trying again")
                time.sleep(1)

    def stop(self) -> None:
        """End `run` soon. A signal handler may call this."""
        self._stopping = True

    def close(self) -> None:
        """End the children and let go of everything."""
        self._supervisor.close()
        self._desk.close()
        for router in (self._front, self._supervisor.router, self._desk.router):
            router.socket.close()
        self._gate.socket.close()
        self._context.term()
        self._jobs.close()

    def _hear(self) -> None:
        """Answer one request. Who was revoked is not answered any more."""
        client, user, frames = self._front.receive()
        name = self._clients.names().get(user)
        if name is None:
            self._forget(client)
            return
        number = None
        try:
            message = decode(frames, REQUESTS)
            number = message.fields["id"]
            if not self._rate.allows(user):
                raise make_error("full", "This client asks for too much at once.", "Wait a moment, then go on.")
            self._asked[message.type] += 1
            if message.type == "follow":
                self._users[client] = user
            request = Request(client, user, name == OWN, message.fields, message.blobs)
            answer = self._handlers[message.type](request)
            if answer is None:
                return  # it follows when there is one
            reply = encode(answer.type, {"re": number, **answer.fields}, answer.blobs)
        except UnoccludeError as error:
            self._refused[error.code] += 1
            reply = _refusal(number, error)
        except (OSError, sqlite3.Error) as error:
            log.exception("the store failed")
            cure = f"Look at the disk of {self._home}."
            reply = _refusal(number, make_error("storage", f"The store failed ({error}).", cure))
        except Exception as error:
            log.exception("a request failed")
            cure = f"See {self._home / 'server.log'}."
            reply = _refusal(number, make_error("internal", f"The backend failed ({error!r}).", cure))
        self._send(client, reply)

    def _send(self, client: bytes, frames: list[bytes]) -> bool:
        """Whether the message is on its way. A client that has gone is forgotten."""
        try:
            return self._front.send(client, frames)
        except PeerGone:
            self._forget(client)
            return False

    def _forget(self, client: bytes) -> None:
        self._followers = {key: seen for key, seen in self._followers.items() if key[0] != client}
        self._users.pop(client, None)

    def _tell_followers(self) -> None:
        names = self._clients.names()
        for follower, seen in list(self._followers.items()):
            client, job = follower
            if self._users.get(client) not in names:
                self._forget(client)
                continue
            for event in self._jobs.events(job, seen):
                preview = () if event.preview is None else (event.preview,)
                if not self._send(client, encode("event", event.to_json(), preview)):
                    break  # no room, or gone: what is left follows at a later turn, or never
                self._followers[follower] = event.seq
                if event.final:
                    del self._followers[follower]

    # --- requests, as in PROTOCOL.md ------------------------------------------------------------------------

    def _hello(self, request: Request) -> Answer:
        sizes = {"header": MAX_HEADER, "frame": MAX_FRAME, "chunk": MAX_CHUNK, "picture": MAX_PICTURE}
        limits = {**sizes, "queue": MAX_QUEUED}
        return Answer("welcome", {"server": __version__, "capabilities": sorted(self._handlers), "limits": limits})

    def _ping(self, request: Request) -> Answer:
        return Answer("pong", {})

    def _upload(self, request: Request) -> Answer:
        picture, size, offset = (request.fields[name] for name in ("picture", "size", "offset"))
        have = self._intake.take(picture, size, offset, request.blobs[0], request.key, request.own)
        return Answer("uploaded", {"picture": picture, "have": have})

    def _submit(self, request: Request) -> Answer:
        job = request.fields["job"]
        spec = JobSpec.from_json(request.fields["spec"])
        known = self._jobs.get(job)
        if known is None:
            self._intake.check_queue(request.key, request.own)
        image, mask, completion = (request.fields[name] for name in ("image", "mask", "completion"))
        self._check_pictures(request, image, mask, completion)
        mine = request.key, spec, image, mask, completion
        if known is None:
            self._jobs.add(job, spec, image, mask, request.key, completion)
            self._supervisor.encourage()
            log.info("accepted from %s", self._clients.names()[request.key], extra={"job": job})
        elif (known.client, known.spec, known.image, known.mask, known.completion) != mine:
            raise make_error("conflict", f"The id {job} belongs to another job.", "Make a new id.")
        return Answer("accepted", {"job": job, "new": known is None, "seq": self._its_job(request).seq})

    def _check_pictures(self, request: Request, *digests: str | None) -> None:
        """Raises UnoccludeError where the client has not uploaded one of these."""
        if not all(digest is None or self._intake.has(digest, request.key, request.own) for digest in digests):
            raise make_error("not_found", "The backend does not have this picture.", "Upload it first.")

    def _follow(self, request: Request) -> Answer:
        job = self._its_job(request)
        follower = (request.client, job.job)
        if follower not in self._followers and len(self._followers) >= MAX_FOLLOWERS:
            raise make_error("full", "Too many clients follow jobs.", "Close some of them.")
        if job.state not in FINAL_STATES or request.fields["after"] < job.seq:
            self._followers[follower] = request.fields["after"]
        return Answer("following", {"job": job.job, "seq": job.seq, "state": job.state})

    def _unfollow(self, request: Request) -> Answer:
        self._followers.pop((request.client, request.fields["job"]), None)
        return Answer("unfollowed", {"job": request.fields["job"]})

    def _cancel(self, request: Request) -> Answer:
        self._supervisor.cancel(self._its_job(request))
        return Answer("cancelling", {"job": request.fields["job"], "state": self._its_job(request).state})

    def _job(self, request: Request) -> Answer:
        return Answer("job", {"info": self._jobs.describe(self._its_job(request)).to_json()})

    def _list(self, request: Request) -> Answer:
        jobs = self._jobs.newest(request.fields["limit"], None if request.own else request.key)
        return Answer("jobs", {"jobs": [self._jobs.describe(job).to_json() for job in jobs]})

    def _fetch(self, request: Request) -> Answer:
        job, name, offset = self._its_job(request).job, request.fields["name"], request.fields["offset"]
        artifact = self._jobs.artifact(job, name)
        if artifact is None:
            raise make_error("not_found", f"Job {job} has no file {name}.", "Ask for the job's list of artifacts.")
        with self._blobs.path(artifact.sha256).open("rb") as file:
            file.seek(offset)
            data = file.read(request.fields["length"])
        facts = {"name": name, "size": artifact.size, "sha256": artifact.sha256}
        return Answer("chunk", {"job": job, "offset": offset, **facts}, (data,))

    def _segment(self, request: Request) -> None:
        image, prompt = request.fields["image"], request.fields["prompt"]
        if prompt is not None:
            JobSpec.from_json({"prompt": prompt})
        self._check_pictures(request, image)
        self._desk.ask(Click(request.client, request.fields["id"], request.fields))

    def _give_mask(self, click: Click, outcome: MaskOrError) -> None:
        if isinstance(outcome, UnoccludeError):
            self._send(click.client, _refusal(click.number, outcome))
        else:
            header = {"re": click.number, "rating": outcome.fields["rating"]}
            self._send(click.client, encode("mask", header, outcome.blobs))

    def _status(self, request: Request) -> Answer:
        status = ServerStatus(
            server=__version__,
            pid=os.getpid(),
            uptime=time.monotonic() - self._started,
            queued=self._jobs.count_queued(),
            workers=tuple(
                worker if self._may_see(request, worker.job) else replace(worker, job=None)
                for worker in self._supervisor.status()
            ),
        )
        return Answer("status", asdict(status))

    def _metrics(self, request: Request) -> Answer:
        metrics = {
            "uptime": time.monotonic() - self._started,
            "requests": dict(self._asked),
            "refused": dict(self._refused),
            "jobs": self._jobs.count_by_state(),
            "worker_starts": self._supervisor.starts,
            "worker_deaths": self._supervisor.deaths,
            "following": len(self._followers),
            "disk_free": shutil.disk_usage(self._home).free,
        }
        return Answer("metrics", {"metrics": metrics})

    def _stop(self, request: Request) -> Answer:
        if not request.own:
            raise make_error("forbidden", "A paired client cannot stop the backend.", "Stop it on its own machine.")
        self.stop()
        return Answer("stopping", {})

    def _may_see(self, request: Request, job: str | None) -> bool:
        """The user's own client sees every job, a paired one those that it handed in."""
        stored = None if job is None else self._jobs.get(job)
        return request.own or (stored is not None and stored.client == request.key)

    def _its_job(self, request: Request) -> StoredJob:
        """The job that the request is about. Raises UnoccludeError where there is none that this client may see."""
        job = request.fields["job"]
        stored = self._jobs.get(job)
        if stored is None or not self._may_see(request, job):
            raise make_error("not_found", f"There is no job {job}.", "See `unocclude jobs`.")
        return stored


def _refusal(number: int | None, error: UnoccludeError) -> list[bytes]:
    return encode("error", {"re": number, **(error_to_json(error) or {})})
