"""Clients of other machines: let in with a key of their own, kept within bounds, shut out at once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import time
from pathlib import Path

import pytest
from backend_process import Backend
from unocclude.client import Client
from unocclude.connection import Connection
from unocclude.errors import Cancelled, InputError, ServerUnavailableError, UnoccludeError
from unocclude.protocol import Artifact, JobSpec, Prompt
from unocclude.server import commands
from unocclude.server.clients import ClientBook
from unocclude.server.intake import MAX_QUEUED_PAIRED
from unocclude.server.logs import JsonLines
from unocclude.server.rates import RateLimit


def paired(backend: Backend, home: Path, name: str) -> Client:
    """A client in a home of its own, as on another machine."""
    endpoint = Connection.load(backend.home).endpoint
    ClientBook(backend.home).pair(name, endpoint).save(home)
    return Client(home, timeout=60, patience=0)


def test_a_paired_client_works_and_may_not_stop_the_backend(backend, tmp_path: Path) -> None:
    with paired(backend, tmp_path, "studio") as client:
        job = client.submit(JobSpec(), b"steps=2")
        client.wait(job)
        assert client.fetch(job, tmp_path / "out")
        with pytest.raises(UnoccludeError, match="cannot stop") as caught:
            client.stop()
        assert caught.value.code == "forbidden"
    if os.name == "posix":
        for file in (backend.home / "keys" / "clients").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0
            assert "secret" not in file.read_text()


def test_a_revoked_client_hears_nothing_from_that_moment(backend, tmp_path: Path) -> None:
    with paired(backend, tmp_path, "laptop") as client, backend.client() as own:
        job = client.submit(JobSpec(), b"steps=100000 pause=0.02")
        try:
            news = client.watch(job, tick=0.1)
            while (event := next(news)) is None or event.stage != "complete":
                pass
            ClientBook(backend.home).revoke("laptop")
            own.ping()  # a turn of the broker has passed
            own.ping()
            while client._link is not None and client._link.receive(time.monotonic() + 1) is not None:
                pass  # what was on its way already
            assert client._link is not None
            assert client._link.receive(time.monotonic() + 2) is None
            with pytest.raises(ServerUnavailableError):
                client._request("job", {"job": job}, timeout=2)
            assert own.job(job).state == "running"
        finally:
            own.cancel(job)
    with Client(tmp_path, timeout=60, patience=0) as client, pytest.raises(ServerUnavailableError, match="key"):
        client.ping()


def test_a_client_knows_nothing_of_the_jobs_of_others(backend, tmp_path: Path) -> None:
    with (
        paired(backend, tmp_path / "one", "one") as one,
        paired(backend, tmp_path / "other", "other") as other,
        backend.client() as own,
    ):
        job = one.submit(JobSpec(), b"steps=100000 pause=0.02")
        next(event for event in one.follow(job) if event.stage == "complete")
        assert job not in [info.job for info in other.jobs()]
        assert [worker.job for worker in other.status().workers] == [None]
        assert [worker.job for worker in one.status().workers] == [job]
        report = Artifact("report.json", 1, "0" * 64)
        asked = (other.job, other.cancel, other.wait, lambda job: other.read(job, report))
        for ask in asked:
            with pytest.raises(UnoccludeError, match="no job") as caught:
                ask(job)
            assert caught.value.code == "not_found"
        with pytest.raises(UnoccludeError, match="another job") as caught:
            other.submit(JobSpec(), b"steps=100000 pause=0.02", job=job)
        assert caught.value.code == "conflict"
        assert one.job(job).state == own.job(job).state == "running"
        own.cancel(job)
        with pytest.raises(Cancelled):
            one.wait(job)


def test_masks_are_given_on_pictures_that_the_client_sent_itself(backend, tmp_path: Path) -> None:
    image, prompt = b"seen by one", Prompt(points=((3.0, 0.0),))
    with (
        paired(backend, tmp_path / "first", "first") as first,
        paired(backend, tmp_path / "second", "second") as second,
    ):
        assert first.segment(image, prompt).mask
        digest = hashlib.sha256(image).hexdigest()
        header = {"image": digest, "profile": "bundled", "prompt": {"points": [[3, 0]]}}
        with pytest.raises(UnoccludeError) as caught:
            second._request("segment", header)
        assert caught.value.code == "not_found"
        assert second.segment(image, prompt).mask
        assert second._request("segment", header).blobs


def test_a_paired_client_cannot_fill_the_queue(new_backend, tmp_path: Path) -> None:
    backend = new_backend().start()
    with paired(backend, tmp_path / "other", "farm") as client, backend.client() as own:
        busy = own.submit(JobSpec(), b"steps=100000 pause=0.02")
        while own.job(busy).state != "running":
            time.sleep(0.02)
        for _ in range(MAX_QUEUED_PAIRED):
            client.submit(JobSpec(), b"steps=1")
        with pytest.raises(UnoccludeError, match="of this client") as caught:
            client.submit(JobSpec(), b"steps=1")
        assert caught.value.code == "full"
        own.submit(JobSpec(), b"steps=1")
        metrics = own.metrics()
        assert metrics["refused"] == {"full": 1, "not_found": 2}  # each client sent the picture after its first try
        assert metrics["jobs"] == {"running": 1, "queued": MAX_QUEUED_PAIRED + 1}
        assert metrics["requests"]["submit"] == MAX_QUEUED_PAIRED + 5


def test_names_are_safe_and_taken_once(tmp_path: Path) -> None:
    book = ClientBook(tmp_path)
    book.pair("desk", "tcp://host:1")
    for name, words in (("desk", "already"), ("own", "already"), ("../x", "named"), ("", "named"), ("a b", "named")):
        with pytest.raises(InputError, match=words):
            book.pair(name, "tcp://host:1")
    with pytest.raises(InputError, match="no paired client"):
        book.revoke("chair")
    assert set(book.names().values()) == {"own", "desk"}
    book.revoke("desk")
    assert set(book.names().values()) == {"own"}


def test_the_commands_pair_list_and_revoke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNOCCLUDE_HOME", str(tmp_path / "home"))
    commands.list_clients()
    assert "No paired clients" in capsys.readouterr().out
    commands.pair_client("tablet", "tcp://192.0.2.1:5555", tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["endpoint"] == "tcp://192.0.2.1:5555"
    commands.list_clients()
    assert "tablet" in capsys.readouterr().out
    commands.revoke_client("tablet")
    assert ClientBook(tmp_path / "home").paired() == []


def test_a_client_that_asks_too_fast_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    rate = RateLimit(per_second=10, burst=20)
    assert [rate.allows("a") for _ in range(21)] == [True] * 20 + [False]
    assert rate.allows("b")
    now = 0.5
    assert [rate.allows("a") for _ in range(6)] == [True] * 5 + [False]


def test_log_lines_name_their_job() -> None:
    record = logging.LogRecord("unocclude.server.x", logging.INFO, "", 0, "done in %d s", (3,), None)
    record.job = "a" * 32
    line = json.loads(JsonLines().format(record))
    assert (line["level"], line["where"], line["message"], line["job"]) == ("info", "server.x", "done in 3 s", "a" * 32)


def test_the_log_tells_the_life_of_a_job_and_no_key(backend) -> None:
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=1 nobody-may-read-this")
        client.wait(job)
    text = (backend.home / "server.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["message"] for line in lines if line.get("job") == job] == ["accepted from own", "runs", "done"]
    connection = Connection.load(backend.home)
    for secret in (connection.secret_key, "nobody-may-read-this"):
        assert secret not in text
