"""A disk that is full, read-only or in the way: said with the cure, and the rest goes on."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from unocclude.errors import UnoccludeError
from unocclude.protocol import Artifact, JobSpec, ProtocolError
from unocclude.server.blobs import WORK_FOLDER, BlobStore
from unocclude.server.drafts import OPEN_UPLOADS
from unocclude.server.intake import MAX_HELD_PAIRED, MIN_FREE, Intake
from unocclude.server.jobs import JobStore

JOB = "a" * 32


def send(intake: Intake, picture: bytes, client: str, own: bool = False) -> str:
    """Upload it in parts of two bytes."""
    digest = hashlib.sha256(picture).hexdigest()
    have = 0
    while have < len(picture):
        have = intake.take(digest, len(picture), have, picture[have : have + 2], client, own)
    return digest


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


def test_nothing_is_taken_when_the_disk_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = BlobStore(tmp_path)
    intake = Intake(tmp_path, JobStore(tmp_path / "jobs.sqlite"), blobs)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2 * MIN_FREE, MIN_FREE, MIN_FREE))
    assert blobs.read(send(intake, b"fits", "key", own=True)) == b"fits"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2 * MIN_FREE, MIN_FREE + 1, MIN_FREE - 1))
    with pytest.raises(UnoccludeError, match="MiB are free") as caught:
        send(intake, b"does not", "key", own=True)
    assert caught.value.code == "storage"


def test_one_paired_client_cannot_fill_the_disk(tmp_path: Path) -> None:
    jobs = JobStore(tmp_path / "jobs.sqlite")
    intake = Intake(tmp_path, jobs, BlobStore(tmp_path))
    picture = send(intake, b"12345", "farm")
    assert jobs.bytes_of("farm") == 5
    jobs.add(JOB, JobSpec(), picture, None, "farm")
    jobs.move(JOB, "running")
    jobs.move(JOB, "done", artifacts=[Artifact("mesh.glb", MAX_HELD_PAIRED - 6, "0" * 64)])
    send(intake, b"1", "farm")
    with pytest.raises(UnoccludeError, match="4 GiB") as caught:
        send(intake, b"2", "farm")
    assert caught.value.code == "full"
    send(intake, b"2", "studio")
    send(intake, b"2", "own", own=True)
    jobs.forget(JOB)
    send(intake, b"2", "farm")


def test_unfinished_pictures_are_bounded_and_finished_ones_leave_no_draft(tmp_path: Path) -> None:
    intake = Intake(tmp_path, JobStore(tmp_path / "jobs.sqlite"), BlobStore(tmp_path))
    digests = [f"{number:064x}" for number in range(3 * OPEN_UPLOADS)]
    for digest in digests:
        assert intake.take(digest, 10, 0, b"part", "farm", own=False) == 4
    assert len(list((tmp_path / WORK_FOLDER).iterdir())) == OPEN_UPLOADS
    assert intake.take(digests[0], 10, 4, b"part", "farm", own=False) == 0  # its begin is gone, so again
    assert intake.take(digests[-1], 10, 0, b"part", "farm", own=False) == 4  # sent twice, taken once
    with pytest.raises(ProtocolError, match="announced"):
        intake.take(digests[-1], 10, 4, b"x" * 6, "farm", own=False)
    send(intake, b"whole", "studio")
    assert len(list((tmp_path / WORK_FOLDER).iterdir())) == OPEN_UPLOADS - 1


def test_a_home_that_cannot_be_used_is_said(new_backend, tmp_path: Path) -> None:
    backend = new_backend()
    backend.home = tmp_path / "file" / "home"
    backend.home.parent.write_text("no folder")
    process = backend.spawn()
    said = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 1
    assert "UNOCCLUDE_HOME" in said
    assert "Traceback" not in said


@pytest.fixture
def bound_by_modes() -> list[str]:
    """The command that runs a process whom file modes bind, as they bind everybody but root."""
    if os.name != "posix":
        pytest.skip("Windows has no such file modes")
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("file modes do not bind root")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


@contextmanager
def read_only(*paths: Path) -> Iterator[None]:
    before = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(0o500 if path.is_dir() else 0o400)
    yield
    for path, mode in before.items():
        path.chmod(mode)


def test_a_read_only_home_is_said(new_backend, bound_by_modes: list[str]) -> None:
    backend = new_backend(prefix=bound_by_modes)
    backend.home.mkdir()
    with read_only(backend.home):
        said = backend.spawn().communicate(timeout=120)[0].decode()
    assert "cannot be written" in said
    assert "Traceback" not in said


def test_a_read_only_store_is_said_and_left_alone(new_backend, bound_by_modes: list[str]) -> None:
    backend = new_backend(prefix=bound_by_modes).start()
    with backend.client() as client:
        job = client.submit(JobSpec(), b"steps=1")
        client.wait(job)
    backend.stop()
    with read_only(backend.home / "jobs.sqlite"):
        said = backend.spawn().communicate(timeout=120)[0].decode()
    assert "jobs.sqlite cannot be used" in said
    assert "Traceback" not in said
    backend.start()
    with backend.client() as client:
        assert client.job(job).state == "done"


def test_folders_that_become_read_only_cost_new_jobs_alone(new_backend, bound_by_modes: list[str]) -> None:
    backend = new_backend(prefix=bound_by_modes).start()
    with backend.client() as client:
        before = client.submit(JobSpec(), b"steps=1")
        client.wait(before)
        with read_only(backend.home / "work", backend.home / "blobs"):
            with pytest.raises(UnoccludeError, match="store failed") as caught:
                client.submit(JobSpec(), b"steps=2")
            assert caught.value.code == "storage"
            assert client.fetch(before, backend.home / "fetched")
            with pytest.raises(UnoccludeError) as caught:  # its picture is there, but its results have no place
                client.wait(client.submit(JobSpec(seed=1), b"steps=1"))
            assert caught.value.cure
        client.wait(client.submit(JobSpec(), b"steps=2"))
