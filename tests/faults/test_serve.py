"""Starting and stopping: what people and the add-on meet when something is in the way."""

from __future__ import annotations

import json
import socket
import sys
import threading
from pathlib import Path

import pytest
import zmq
from unocclude.client import Client
from unocclude.connection import Connection
from unocclude.errors import ServerUnavailableError
from unocclude.launch import start_backend
from unocclude.protocol import encode
from unocclude.server import commands
from unocclude.server.auth import KeyPair

FAKE = Path(__file__).with_name("fake_pipeline.py")


def test_no_backend_is_said_at_once_with_the_cure(tmp_path: Path) -> None:
    with Client(tmp_path) as client, pytest.raises(ServerUnavailableError, match="unocclude serve") as caught:
        client.ping()
    assert caught.value.exit_code == 2


def test_the_file_of_a_dead_backend_deceives_nobody(new_backend) -> None:
    backend = new_backend().start()
    backend.kill()
    assert Connection.path(backend.home).exists()
    with backend.client() as client, pytest.raises(ServerUnavailableError, match="unocclude serve"):
        client.ping()


def test_an_endpoint_that_is_none_is_refused(backend) -> None:
    with (
        Client(backend.home, endpoint="localhost 5555") as client,
        pytest.raises(ServerUnavailableError, match="not an address"),
    ):
        client.ping()


def test_a_taken_port_ends_serve_with_the_cure(new_backend) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        process = new_backend().spawn("--endpoint", f"tcp://127.0.0.1:{other.getsockname()[1]}")
        said = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 2
    assert "Leave --endpoint out" in said
    assert "Traceback" not in said


def test_a_second_backend_with_the_same_home_is_refused(backend) -> None:
    process = backend.spawn()
    said = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 2
    assert "running already" in said
    with backend.client() as client:
        client.ping()


def test_start_backend_starts_one_and_finds_it_again(tmp_path: Path) -> None:
    (tmp_path / FAKE.name).write_bytes(FAKE.read_bytes())
    endpoint = start_backend(sys.executable, tmp_path, wait=300, runner="fake_pipeline:run_job")
    try:
        assert start_backend(sys.executable, tmp_path, wait=300) == endpoint
    finally:
        with Client(tmp_path) as client:
            client.stop()


def test_start_backend_tells_why_it_could_not(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailableError, match="cannot be started"):
        start_backend(tmp_path / "no-python", tmp_path)
    (tmp_path / "jobs.sqlite").mkdir()
    with pytest.raises(ServerUnavailableError, match=r"jobs\.sqlite"):
        start_backend(sys.executable, tmp_path, wait=300)


def test_the_commands_tell_people(backend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("UNOCCLUDE_HOME", str(backend.home))
    commands.jobs()
    assert "No jobs yet." in capsys.readouterr().out
    with backend.client() as client:
        from unocclude.protocol import JobSpec

        job = client.submit(JobSpec(), b"raise")
        list(client.follow(job))
    commands.jobs()
    line = capsys.readouterr().out
    assert job in line
    assert "nothing at the point" in line
    commands.status()
    assert "worker   auto: idle" in capsys.readouterr().out


def test_stop_waits_for_the_end(
    new_backend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = new_backend().start()
    monkeypatch.setenv("UNOCCLUDE_HOME", str(backend.home))
    commands.stop()
    assert "Stopped." in capsys.readouterr().out
    assert backend.process.wait(120) == 0


def test_a_backend_that_ends_without_a_word_has_stopped(tmp_path: Path) -> None:
    server, own = KeyPair.new(), KeyPair.new()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.curve_server, router.curve_secretkey = True, server.secret.encode()
        router.bind("tcp://127.0.0.1:*")
        Connection(router.last_endpoint.decode(), server.public, own.public, own.secret, 0).save(tmp_path)

        def answer_pings_alone() -> None:
            while router.poll(60_000):
                peer, header = router.recv_multipart()
                request = json.loads(header)
                if request["type"] == "stop":
                    Connection.path(tmp_path).unlink()
                    router.close(linger=0)
                    return
                router.send_multipart([peer, *encode("pong", {"re": request["id"]})])

        thread = threading.Thread(target=answer_pings_alone)
        thread.start()
        with Client(tmp_path, timeout=60) as client:
            client.stop()
        thread.join()
