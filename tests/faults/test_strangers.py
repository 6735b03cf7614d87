"""Whoever has no key, or a wrong one, sees and changes nothing; who has one but talks nonsense does no
harm."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import socket as sockets
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zmq
from unocclude.client import Client
from unocclude.connection import Connection
from unocclude.errors import ServerUnavailableError
from unocclude.link import open_dealer
from unocclude.protocol import ANSWERS, MAX_CHUNK, MAX_FRAME, JobSpec, decode, encode
from unocclude.server.auth import CLIENTS, Gate, KeyPair
from unocclude.server.sockets import Router

PING = encode("ping", {"id": 1})
SUBMIT = {"v": 1, "type": "submit", "id": 1, "job": "0" * 32, "spec": {}, "image": "0" * 64, "mask": None} | {
    "completion": None
}
BAD_UPLOADS: list[tuple[dict[str, Any], bytes]] = [
    ({}, b""),
    ({}, b"evil"),  # not what its digest says
    ({}, b"longer"),
    ({"size": 2**40}, b"part"),
    ({"offset": -1}, b"part"),
    ({"picture": "../../etc/passwd"}, b"part"),
    ({"size": MAX_CHUNK + 1}, bytes(MAX_CHUNK + 1)),
]


@pytest.fixture
def context():
    with zmq.Context() as made:
        yield made


def hears(socket: zmq.Socket[Any], milliseconds: int = 500) -> bool:
    """Send a ping, if the socket takes it, and tell whether anything comes back."""
    socket.linger = 0
    if socket.poll(milliseconds, zmq.POLLOUT):
        socket.send_multipart(PING)
    return bool(socket.poll(milliseconds))


def test_the_fixture_would_notice_an_answer(backend, context) -> None:
    connection = Connection.load(backend.home)
    with open_dealer(context, connection) as socket:
        socket.connect(connection.endpoint)
        assert hears(socket, 60_000)


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ, zmq.SUB, zmq.ROUTER])
def test_without_a_key_nothing_is_heard(backend, context, kind: int) -> None:
    with backend.client() as client, context.socket(kind) as socket:
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(Connection.load(backend.home).endpoint)
        client.wait(client.submit(JobSpec(), b"steps=5 pause=0.02"))
        assert not socket.poll(300)


def test_with_an_unknown_key_nothing_is_heard(backend, context) -> None:
    stranger = KeyPair.new()
    known = Connection.load(backend.home)
    connection = dataclasses.replace(known, public_key=stranger.public, secret_key=stranger.secret)
    with open_dealer(context, connection) as socket:
        socket.connect(connection.endpoint)
        assert not hears(socket)


@pytest.mark.parametrize("wrong", ["client", "server"])
def test_a_wrong_key_is_named_as_the_reason(backend, tmp_path: Path, wrong: str) -> None:
    keys = KeyPair.new()
    connection = Connection.load(backend.home)
    if wrong == "client":
        connection = dataclasses.replace(connection, public_key=keys.public, secret_key=keys.secret)
    else:
        connection = dataclasses.replace(connection, server_key=keys.public)
    connection.save(tmp_path)
    with Client(tmp_path, timeout=60) as client, pytest.raises(ServerUnavailableError, match="key"):
        client.ping()


@pytest.mark.parametrize("gate_answers", [True, False])
def test_while_the_gate_does_not_answer_nobody_gets_in(context, gate_answers: bool) -> None:
    server, friend = KeyPair.new(), KeyPair.new()
    gate = Gate(context)
    gate.known[CLIENTS] = {friend.public}
    router = Router(context, gate, CLIENTS, server, "tcp://127.0.0.1:*")
    if not gate_answers:
        gate.socket.close()
    connection = Connection(router.endpoint, server.public, friend.public, friend.secret, 0)
    with open_dealer(context, connection) as socket:
        socket.connect(connection.endpoint)
        if gate_answers:
            assert gate.socket.poll(60_000)
            gate.answer()
        assert bool(socket.poll(60_000 if gate_answers else 500, zmq.POLLOUT)) == gate_answers
        if gate_answers:
            socket.send_multipart(PING)
        assert bool(router.socket.poll(60_000 if gate_answers else 300)) == gate_answers
    router.socket.close()
    gate.socket.close()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such file modes")
def test_keys_and_store_are_for_the_user_alone(backend) -> None:
    for path in [backend.home / "blobs", *backend.home.glob("*.*"), *backend.home.glob("keys/*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_nonsense_is_refused_and_does_no_harm(backend, context) -> None:
    connection = Connection.load(backend.home)
    rng = random.Random(0)
    upload = {"v": 1, "type": "upload", "id": 1, "picture": "0" * 64, "size": 4, "offset": 0}
    hostile = [
        [b""],
        [b"\xff\xfe"],
        [b"[]"],
        [b"[" * 200_000],
        [b'{"v":1}'],
        [b'{"v":2,"type":"ping","id":1}'],
        [b'{"v":1,"type":"ping","id":NaN}'],
        [b'{"v":1,"type":"open the door","id":1}'],
        [b'{"v":1,"type":"job","id":1,"job":"../../etc/passwd"}'],
        [b'{"v":1,"type":"ping","id":1}', b"a blob too many"],
        [
            json.dumps({**SUBMIT, "spec": {"prompt": 3}}).encode(),
        ],
        [
            json.dumps({**SUBMIT, "spec": {"seed": "\ud800"}}).encode(),
        ],
        [b"{}"] * 50,
        *([json.dumps({**upload, **wrong}).encode(), part] for wrong, part in BAD_UPLOADS),
        *([rng.randbytes(rng.randrange(1, 60)) for _ in range(rng.randrange(1, 4))] for _ in range(200)),
    ]
    with open_dealer(context, connection) as socket:
        socket.connect(connection.endpoint)
        for frames in hostile:
            socket.send_multipart(frames)
            assert socket.poll(60_000), frames[0][:60]
            answer = decode(socket.recv_multipart(), ANSWERS)
            assert answer.type == "error"
            assert answer.fields["code"] in ("protocol", "version", "input")
    with backend.client() as client:
        client.ping()


def test_a_frame_over_the_limit_ends_the_connection_alone(backend, context) -> None:
    connection = Connection.load(backend.home)
    with open_dealer(context, connection) as socket, backend.client() as client:
        client.ping()
        socket.connect(connection.endpoint)
        assert socket.poll(60_000, zmq.POLLOUT)
        socket.send_multipart([PING[0], bytes(MAX_FRAME + 1)])
        assert not socket.poll(1000)
        client.ping()


class Tap:
    """A listener on the line: passes bytes on between a client and the backend at this port, and keeps them all.

    `flip` names a byte that it changes on its way to the backend, counted from the connection's begin.
    """

    def __init__(self, port: int, flip: int | None = None) -> None:
        self.heard = bytearray()
        self._flip = flip
        self._port = port
        self._listener = sockets.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                backend = sockets.create_connection(("127.0.0.1", self._port))
                for source, target, flip in ((client, backend, self._flip), (backend, client, None)):
                    threading.Thread(target=self._pass_on, args=(source, target, flip), daemon=True).start()

    def _pass_on(self, source: sockets.socket, target: sockets.socket, flip: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while data := bytearray(source.recv(65536)):
                self.heard += data
                if flip is not None and passed <= flip < passed + len(data):
                    data[flip - passed] ^= 1
                passed += len(data)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(sockets.SHUT_RDWR)


def port_of(home: Path) -> int:
    return int(Connection.load(home).endpoint.rpartition(":")[2])


def test_a_listener_on_the_line_learns_nothing(backend) -> None:
    tap = Tap(port_of(backend.home))
    image = b"steps=2 the-picture-of-a-secret " * 100
    with Client(backend.home, tap.endpoint, timeout=60) as client:
        job = client.submit(JobSpec(), image)
        client.wait(job)
        client.fetch(job, backend.home / "fetched")
    tap.close()
    assert len(tap.heard) > 2 * len(image)  # it heard the picture come and go
    secrets = [
        b"secret",
        b"steps",
        job.encode(),
        b"submit",
        b"report",
        Connection.load(backend.home).secret_key.encode(),
    ]
    assert [secret for secret in secrets if secret in tap.heard] == []


def test_who_changes_a_byte_on_the_line_changes_nothing(backend) -> None:
    with backend.client() as own:
        before = len(own.jobs())
        image = b"steps=1 " + b"x" * 5000
        tap = Tap(port_of(backend.home), flip=2000)  # within the picture
        with Client(backend.home, tap.endpoint, timeout=3, patience=0) as client, pytest.raises(ServerUnavailableError):
            client.submit(JobSpec(), image)
        tap.close()
        assert len(own.jobs()) == before
