"""A disk that is full, read-only or in the way: said with the cure, and the rest goes on."""

from __future__ import annotations

import os
import shutil
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from unocclude.errors import UnoccludeError
from unocclude.protocol import JobSpec
from unocclude.server.broker import MIN_FREE, Broker
from unocclude.server.commands import DEFAULT_ENDPOINT
from unocclude.server.retention import Limits


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Processes that are started inside cannot write beyond `size`; to them the disk is full."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_result_that_does_not_fit_fails_its_job_alone(new_backend) -> None:
    backend = new_backend()
    with largest_file(2_000_000):
        backend.start()
    with backend.client() as client:
        before = client.submit(JobSpec(), b"steps=1")
        client.wait(before)
        with pytest.raises(UnoccludeError, match="cannot be written") as caught:
            client.wait(client.submit(JobSpec(), b"big"))
        assert caught.value.code == "storage"
        assert caught.value.cure
        client.wait(client.submit(JobSpec(), b"steps=2"))
        assert client.job(before).state == "done"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_an_image_that_does_not_fit_is_refused(new_backend) -> None:
    backend = new_backend()
    with largest_file(2_000_000):
        backend.start()
    with backend.client() as client:
        with pytest.raises(UnoccludeError, match="store failed") as caught:
            client.submit(JobSpec(), bytes(3_000_000))
        assert caught.value.code == "storage"
        assert client.jobs() == []
        client.wait(client.submit(JobSpec(), b"steps=1"))


def test_no_job_is_taken_when_the_disk_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(tmp_path, DEFAULT_ENDPOINT, "", "", Limits())
    usage = namedtuple("usage", "total used free")
    try:
        for free, refused in ((MIN_FREE, False), (MIN_FREE - 1, True)):
            monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage(2 * free, free, free))
            if refused:
                with pytest.raises(UnoccludeError, match="MiB are free") as caught:
                    broker._check_room()
                assert caught.value.code == "storage"
            else:
                broker._check_room()
    finally:
        broker.close()


def test_a_home_that_cannot_be_used_is_said(new_backend, tmp_path: Path) -> None:
    backend = new_backend()
    backend.home = tmp_path / "file" / "home"
    backend.home.parent.write_text("no folder")
    process = backend.spawn()
    said = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 1
    assert "UNOCCLUDE_HOME" in said
    assert "Traceback" not in said


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom file modes bind")
def test_a_read_only_home_is_said(new_backend, tmp_path: Path) -> None:
    backend = new_backend()
    backend.home.mkdir()
    backend.home.chmod(0o500)
    said = backend.spawn().communicate(timeout=120)[0].decode()
    backend.home.chmod(0o700)
    assert "cannot be written" in said
    assert "Traceback" not in said
