"""What is old or too much goes, what anybody needs stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from unocclude.protocol import Artifact, JobSpec
from unocclude.server.blobs import WORK_FOLDER, BlobStore
from unocclude.server.jobs import JobStore
from unocclude.server.retention import Limits, Retention

DAY = 86400.0


class House:
    """A home folder with jobs whose ages a test sets."""

    def __init__(self, home: Path) -> None:
        self.blobs = BlobStore(home)
        self.jobs = JobStore(home / "jobs.sqlite")
        self.stages = home / "stages"
        self._path = home / "jobs.sqlite"

    def job(self, name: str, days: float, ended: bool = True) -> str:
        """A job with an image of its own, and a result of 1000 bytes where it has ended."""
        job = name * 32
        image = store(self.blobs, f"image of {name}".encode())
        self.jobs.add(job, JobSpec(), image, None)
        digests = [image]
        if ended:
            result = store(self.blobs, name.encode() * 1000)
            digests.append(result)
            self.jobs.move(job, "running")
            self.jobs.move(job, "done", artifacts=[Artifact("mesh.glb", 1000, result)])
            self.jobs._db.execute("UPDATE jobs SET ended = ? WHERE job = ?", (time.time() - days * DAY, job))
        for digest in digests:
            age(self.blobs.path(digest), days)
        return job

    def stage(self, name: str, days: float) -> Path:
        path = self.stages / name[:2] / name[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
        age(path, days)
        return path

    def sweep(self, **limits: float) -> None:
        Retention(self.jobs, self.blobs, self.stages, Limits(**limits)).run()  # type: ignore[arg-type]

    def left(self) -> int:
        return len([path for path in self.blobs.folder.rglob("*") if path.is_file()])


def store(blobs: BlobStore, data: bytes) -> str:
    draft = blobs.folder.parent / WORK_FOLDER / "draft"
    draft.write_bytes(data)
    return blobs.take(draft)[0]


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_old_jobs_are_forgotten_with_their_files(house: House) -> None:
    old, young = house.job("a", days=31), house.job("b", days=29)
    house.sweep()
    assert house.jobs.get(old) is None
    assert house.jobs.events(old, 0) == []
    assert house.jobs.get(young) is not None
    assert house.left() == 2


def test_the_oldest_go_first_where_there_is_too_much(house: House) -> None:
    jobs = [house.job(name, days) for name, days in (("a", 5), ("b", 4), ("c", 3))]
    house.sweep(files=2100)
    assert [house.jobs.get(job) is None for job in jobs] == [True, False, False]
    assert house.left() == 4


def test_what_a_waiting_job_needs_stays_however_old(house: House) -> None:
    job = house.job("a", days=100, ended=False)
    house.sweep(files=0)
    stored = house.jobs.get(job)
    assert stored is not None
    assert house.blobs.read(stored.image)


def test_what_just_ended_or_was_just_used_stays(house: House) -> None:
    job = house.job("a", days=0)
    orphan, shared = store(house.blobs, b"nobody's"), store(house.blobs, b"handed in again")
    for digest in (orphan, shared):
        age(house.blobs.path(digest), 2)
    store(house.blobs, b"handed in again")
    house.sweep(files=0)
    assert house.jobs.get(job) is not None
    assert not house.blobs.path(orphan).exists()
    assert house.blobs.path(shared).exists()


def test_a_file_of_two_jobs_goes_with_the_last(house: House) -> None:
    first = house.job("a", days=40)
    second = "b" * 32
    stored = house.jobs.get(first)
    assert stored is not None
    house.jobs.add(second, JobSpec(), stored.image, None)
    age(house.blobs.path(stored.image), 40)
    house.sweep()
    assert house.jobs.get(first) is None
    assert house.blobs.path(stored.image).exists()


def test_stage_results_that_were_not_used_lately_go(house: House) -> None:
    ages = {"aa1": 40, "bb2": 3, "cc3": 2, "dd4": 1}
    paths = {name: house.stage(name, days) for name, days in ages.items()}
    house.sweep(stages=2500)
    assert [name for name, path in paths.items() if path.exists()] == ["cc3", "dd4"]


def test_a_round_is_cut_into_short_turns(house: House) -> None:
    for name in "abcdef":
        house.job(name, days=40)
    retention = Retention(house.jobs, house.blobs, house.stages, Limits())
    turns = 0
    while house.left():
        retention.turn()
        turns += 1
        assert turns < 1000
