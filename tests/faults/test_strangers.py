"""Whoever has no key, or a wrong one, sees and changes nothing; who has one but talks nonsense does no
harm."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import zmq
from unocclude.client import Client
from unocclude.connection import Connection
from unocclude.errors import ServerUnavailableError
from unocclude.link import open_dealer
from unocclude.protocol import ANSWERS, MAX_FRAME, JobSpec, ProtocolError, decode, encode
from unocclude.server.auth import CLIENTS, Gate, KeyPair
from unocclude.server.sockets import Router

PING = encode("ping", {"id": 1})


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
            json.dumps({"v": 1, "type": "submit", "id": 1, "job": "0" * 32, "spec": {"prompt": 3}}).encode(),
            b"",
        ],
        [
            json.dumps({"v": 1, "type": "submit", "id": 1, "job": "0" * 32, "spec": {"seed": "\ud800"}}).encode(),
            b"",
        ],
        [b"{}"] * 50,
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


@pytest.mark.parametrize(
    "answer",
    [
        [b"not json"],
        [b'{"v":1,"type":"pong"}'],
        [b'{"v":1,"type":"event","job":"' + b"0" * 32 + b'","seq":-1}'],
    ],
)
def test_a_lying_backend_is_found_out(context, tmp_path: Path, answer: list[bytes]) -> None:
    server, friend = KeyPair.new(), KeyPair.new()
    liar = context.socket(zmq.ROUTER)
    liar.curve_server, liar.curve_secretkey = True, server.secret.encode()
    liar.bind("tcp://127.0.0.1:*")
    Connection(liar.last_endpoint.decode(), server.public, friend.public, friend.secret, 0).save(tmp_path)

    def lie() -> None:
        if liar.poll(60_000):
            liar.send_multipart([liar.recv_multipart()[0], *answer])

    thread = threading.Thread(target=lie)
    thread.start()
    with Client(tmp_path, timeout=60) as client, pytest.raises(ProtocolError):
        client.ping()
    thread.join()
    liar.close(linger=0)
