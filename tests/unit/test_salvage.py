"""A damaged job store costs what is damaged, and is kept for those who want to look."""

from __future__ import annotations

from pathlib import Path

import pytest
from unocclude.protocol import JobSpec
from unocclude.server.jobs import JobStore

COUNT = 300


def filled(path: Path) -> list[str]:
    store = JobStore(path)
    jobs = [f"{number:032x}" for number in range(COUNT)]
    for job in jobs:
        store.add(job, JobSpec(), "image", None)
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return jobs


@pytest.mark.parametrize("place", [0.3, 0.5, 0.8])
def test_most_jobs_outlive_a_damaged_page(tmp_path: Path, place: float, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "jobs.sqlite"
    jobs = filled(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(int(size * place) // 4096 * 4096)
        file.write(b"\xa5" * 4096)
    store = JobStore(path)
    left = [job for job in jobs if store.get(job) is not None]
    assert len(left) > COUNT / 2
    assert "could be saved" in caplog.text
    store.add("f" * 32, JobSpec(), "image", None)
    assert store.next_queued() is not None
    (aside,) = tmp_path.glob("jobs.sqlite.damaged-*")
    assert aside.stat().st_size == size


def test_a_store_that_is_none_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"no database at all " * 100)
    assert JobStore(path).newest(1) == []
    (aside,) = tmp_path.glob("jobs.sqlite.damaged-*")
    assert aside.read_bytes().startswith(b"no database")


def test_a_whole_store_is_left_alone(tmp_path: Path) -> None:
    jobs = filled(tmp_path / "jobs.sqlite")
    assert len(JobStore(tmp_path / "jobs.sqlite").newest(COUNT)) == len(jobs)
    assert not list(tmp_path.glob("*.damaged-*"))
