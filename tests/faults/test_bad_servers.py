"""A backend that stalls, lies, dies, answers twice or too late: the client finds out, and says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from unocclude.client import Client
from unocclude.connection import Connection
from unocclude.errors import ServerUnavailableError
from unocclude.protocol import Artifact, ProtocolError, encode
from unocclude.server.auth import KeyPair

Messages = list[list[bytes]]
ARTIFACT = Artifact("mesh.glb", 4, "0" * 64)


@contextmanager
def bad_server(home: Path, behave: Callable[[int, dict[str, Any]], Messages | None]) -> Iterator[None]:
    """A server that answers each request, told its number from 0 and its header, with these messages; None: it dies."""
    server, friend = KeyPair.new(), KeyPair.new()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.curve_server, router.curve_secretkey = True, server.secret.encode()
        router.bind("tcp://127.0.0.1:*")
        Connection(router.last_endpoint.decode(), server.public, friend.public, friend.secret, 0).save(home)
        over = threading.Event()

        def serve() -> None:
            number = 0
            while not over.is_set():
                if router.poll(50):
                    peer, header, *_ = router.recv_multipart()
                    answers = behave(number, json.loads(header))
                    number += 1
                    if answers is None:
                        router.close()
                        return
                    for frames in answers:
                        router.send_multipart([peer, *frames])

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        over.set()
        thread.join()


def pong(request: dict[str, Any]) -> list[bytes]:
    return encode("pong", {"re": request["id"]})


@pytest.mark.parametrize(
    "answer",
    [
        [b"not json"],
        [b'{"v":1,"type":"pong"}'],
        [b'{"v":1,"type":"event","job":"' + b"0" * 32 + b'","seq":-1}'],
        [b'{"v":1,"type":"pong","re":1}', b"a blob too many"],
    ],
)
def test_a_lie_is_found_out(tmp_path: Path, answer: list[bytes]) -> None:
    with (
        bad_server(tmp_path, lambda number, request: [answer]),
        Client(tmp_path, timeout=60) as client,
        pytest.raises(ProtocolError),
    ):
        client.ping()


def test_a_file_that_is_not_what_was_announced_is_refused(tmp_path: Path) -> None:
    def behave(number: int, request: dict[str, Any]) -> Messages:
        facts = {"job": request["job"], "offset": 0, "name": "mesh.glb", "size": 4, "sha256": "0" * 64}
        return [encode("chunk", {"re": request["id"], **facts}, [b"evil"])]

    with (
        bad_server(tmp_path, behave),
        Client(tmp_path, timeout=60) as client,
        pytest.raises(ProtocolError, match="did not arrive as it was announced"),
    ):
        client.read("0" * 32, ARTIFACT)


def test_a_file_that_never_ends_is_given_up(tmp_path: Path) -> None:
    def behave(number: int, request: dict[str, Any]) -> Messages:
        facts = {"job": request["job"], "offset": request["offset"], "name": "mesh.glb", "size": 4, "sha256": "0" * 64}
        return [encode("chunk", {"re": request["id"], **facts}, [b"more" * 1000])]

    with bad_server(tmp_path, behave), Client(tmp_path, timeout=60) as client, pytest.raises(ProtocolError):
        client.read("0" * 32, ARTIFACT)


def test_what_is_answered_twice_is_heard_once(tmp_path: Path) -> None:
    def behave(number: int, request: dict[str, Any]) -> Messages:
        if request["type"] == "ping":
            return [pong(request), pong(request), pong(request)]
        status = {"server": f"answer {number}", "pid": 1, "uptime": 1.0, "queued": 0, "workers": []}
        return [encode("status", {"re": request["id"], **status})] * 2

    with bad_server(tmp_path, behave), Client(tmp_path, timeout=60) as client:
        client.ping()
        assert [client.status().server for _ in range(3)] == ["answer 1", "answer 2", "answer 3"]
        client.ping()


def test_a_late_answer_is_not_taken_for_another(tmp_path: Path) -> None:
    """The first request is answered only when the second one has come, before that one."""
    late: list[dict[str, Any]] = []

    def behave(number: int, request: dict[str, Any]) -> Messages:
        if number == 0:
            late.append(request)
            return []
        status = {"server": "the answer", "pid": 1, "uptime": 1.0, "queued": 0, "workers": []}
        return [pong(late[0]), encode("status", {"re": request["id"], **status})]

    with bad_server(tmp_path, behave), Client(tmp_path, timeout=60) as client:
        with pytest.raises(ServerUnavailableError, match="has not answered for"):
            client._request("ping", timeout=1)
        assert client.status().server == "the answer"


def test_one_that_dies_on_a_request_is_missed(tmp_path: Path) -> None:
    with (
        bad_server(tmp_path, lambda number, request: None),
        Client(tmp_path, timeout=60, patience=1) as client,
        pytest.raises(ServerUnavailableError),
    ):
        client.ping()
