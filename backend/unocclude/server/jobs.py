"""The job store: what was accepted, how far it is, what it left.

SQLite in WAL mode; a job is on disk before it is acknowledged.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unocclude.errors import UnoccludeError
from unocclude.protocol import (
    Artifact,
    Event,
    JobInfo,
    JobSpec,
    State,
    error_from_json,
    error_to_json,
    make_error,
)
from unocclude.server.salvage import copy_readable, is_damaged, set_aside

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY,
    job TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL,
    image TEXT NOT NULL,
    mask TEXT,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    seq INTEGER NOT NULL DEFAULT 0,
    error TEXT
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS jobs_by_image ON jobs (image);
CREATE INDEX IF NOT EXISTS jobs_by_mask ON jobs (mask);
-- One row per change of state, and one per stage for its newest progress and its newest preview.
CREATE TABLE IF NOT EXISTS events (
    job TEXT NOT NULL,
    slot TEXT NOT NULL,
    seq INTEGER NOT NULL,
    fields TEXT NOT NULL,
    preview BLOB,
    PRIMARY KEY (job, slot)
);
CREATE TABLE IF NOT EXISTS artifacts (
    job TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (job, name)
);
CREATE INDEX IF NOT EXISTS artifacts_by_content ON artifacts (sha256);
-- Which client's key handed a job in.
CREATE TABLE IF NOT EXISTS owners (
    job TEXT PRIMARY KEY,
    client TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS owners_by_client ON owners (client);
-- The pictures that paired clients have sent, with jobs or with clicks.
CREATE TABLE IF NOT EXISTS uploads (
    client TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (client, digest)
);
CREATE INDEX IF NOT EXISTS uploads_by_content ON uploads (digest);
-- The completion that a job goes on from.
CREATE TABLE IF NOT EXISTS completions (
    job TEXT PRIMARY KEY,
    completion TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS completions_by_content ON completions (completion);
-- How many workers died of a job in each stage.
CREATE TABLE IF NOT EXISTS crashes (
    job TEXT NOT NULL,
    stage TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (job, stage)
);
"""
JOB_TABLES = ("jobs", "events", "artifacts", "owners", "completions", "crashes")
TABLES = (*JOB_TABLES, "uploads")

_WORK = "json_remove({}, '$.prompt', '$.choose', '$.elevation', '$.seed')"
"""What of a spec decides how long the job takes."""

TRANSITIONS: dict[State, frozenset[State]] = {
    "queued": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"done", "failed", "cancelling", "queued"}),
    "cancelling": frozenset({"cancelled", "done"}),
    "done": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}


@dataclass(frozen=True)
class StoredJob:
    """A row of the store. `image`, `mask` and `completion` are digests, `client` is the key of who handed it in."""

    job: str
    spec: JobSpec
    image: str
    mask: str | None
    completion: str | None
    state: State
    created: float
    started: float | None
    ended: float | None
    seq: int
    error: UnoccludeError | None
    client: str | None


class JobStore:
    """A damaged store is set aside, and what can be read of it is copied into a new one; the log tells.

    Raises UnoccludeError with the code `storage` where the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.open("ab").close()  # a store that cannot be written says so now, and not with the first job
            damaged = set_aside(path) if is_damaged(path) else None
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA cache_size = -512")  # KiB; lookups go by index, so a few pages are enough
            self._db.executescript(_SCHEMA)
            if damaged is not None:
                with self._transaction(durable=True):
                    rows = copy_readable(damaged, self._db, TABLES)
                log.error("the job store was damaged; %d rows could be saved, the rest is in %s", rows, damaged)
        except (sqlite3.Error, OSError) as error:
            raise make_error(
                "storage",
                f"The job store {path} cannot be used ({error}).",
                "Make room on the disk and the folder writable, or move the store away.",
            ) from error

    def close(self) -> None:
        self._db.close()

    def recover(self) -> None:
        """After a restart: what was running waits again, what was being cancelled is cancelled."""
        for job in self._select("state = 'running'"):
            self.move(job.job, "queued")
        for job in self._select("state = 'cancelling'"):
            self.move(job.job, "cancelled")

    def add(
        self,
        job: str,
        spec: JobSpec,
        image: str,
        mask: str | None,
        client: str = "",
        completion: str | None = None,
    ) -> None:
        """Accept a job of the client with this key. Durable when this returns."""
        with self._transaction(durable=True):
            self._db.execute(
                "INSERT INTO jobs (job, spec, image, mask, state, created) VALUES (?, ?, ?, ?, 'queued', ?)",
                (job, json.dumps(spec.to_json()), image, mask, time.time()),
            )
            self._db.execute("INSERT INTO owners VALUES (?, ?)", (job, client))
            if completion is not None:
                self._db.execute("INSERT INTO completions VALUES (?, ?)", (job, completion))
            self._append(job, "queued")

    def get(self, job: str) -> StoredJob | None:
        return next(iter(self._select("job = ?", job)), None)

    def next_queued(self) -> StoredJob | None:
        return next(iter(self._select("state = 'queued' ORDER BY number LIMIT 1")), None)

    def count_queued(self, client: str | None = None) -> int:
        """Of all, or of the client with this key."""
        found = self._db.execute(
            "SELECT count(*) FROM jobs WHERE state = 'queued'"
            " AND (:client IS NULL OR job IN (SELECT job FROM owners WHERE client = :client))",
            {"client": client},
        )
        return int(found.fetchone()[0])

    def count_by_state(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())

    def newest(self, limit: int, client: str | None = None) -> list[StoredJob]:
        """Of all, or of the client with this key."""
        return self._select("(?1 IS NULL OR client = ?1) ORDER BY number DESC LIMIT ?2", client, limit)

    def describe(self, job: StoredJob) -> JobInfo:
        ahead = 0
        if job.state == "queued":
            ahead = self._db.execute(
                "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running', 'cancelling')"
                " AND number < (SELECT number FROM jobs WHERE job = ?)",
                (job.job,),
            ).fetchone()[0]
        rows = self._db.execute("SELECT name, size, sha256 FROM artifacts WHERE job = ? ORDER BY name", (job.job,))
        return JobInfo(
            job=job.job,
            spec=job.spec,
            state=job.state,
            created=job.created,
            started=job.started,
            ended=job.ended,
            seq=job.seq,
            ahead=ahead,
            given=job.completion is not None,
            error=job.error,
            artifacts=tuple(Artifact(**row) for row in rows),
        )

    def artifact(self, job: str, name: str) -> Artifact | None:
        row = self._db.execute(
            "SELECT name, size, sha256 FROM artifacts WHERE job = ? AND name = ?", (job, name)
        ).fetchone()
        return None if row is None else Artifact(**row)

    def move(
        self, job: str, state: State, error: UnoccludeError | None = None, artifacts: Sequence[Artifact] = ()
    ) -> None:
        """Change the job's state. Durable when this returns."""
        with self._transaction(durable=True):
            row = self._db.execute("SELECT state, started FROM jobs WHERE job = ?", (job,)).fetchone()
            if state not in TRANSITIONS[row["state"]]:
                raise ValueError(f"job {job} cannot go from {row['state']} to {state}")
            now = time.time()
            started = {"running": now, "queued": None}.get(state, row["started"])
            self._db.execute(
                "UPDATE jobs SET state = ?, started = ?, ended = ?, error = ? WHERE job = ?",
                (state, started, None if TRANSITIONS[state] else now, _dump_error(error), job),
            )
            self._db.executemany(
                "INSERT INTO artifacts (job, name, size, sha256) VALUES (?, ?, ?, ?)",
                [(job, artifact.name, artifact.size, artifact.sha256) for artifact in artifacts],
            )
            self._append(job, state, error=error)

    def count_crash(self, job: str, stage: str) -> int:
        """Note that a worker died of this job in this stage; return how many did."""
        with self._transaction(durable=True):
            self._db.execute(
                "INSERT INTO crashes VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET number = number + 1", (job, stage)
            )
        row = self._db.execute("SELECT number FROM crashes WHERE job = ? AND stage = ?", (job, stage)).fetchone()
        return int(row[0])

    def progress(
        self,
        job: str,
        stage: str,
        step: int,
        total: int,
        eta: float | None = None,
        preview: bytes | None = None,
    ) -> None:
        """Note how far the job is. Survives the process, not a power cut."""
        with self._transaction(durable=False):
            row = self._db.execute("SELECT state FROM jobs WHERE job = ?", (job,)).fetchone()
            self._append(job, row["state"], stage=stage, step=step, total=total, eta=eta, preview=preview)

    def events(self, job: str, after: int) -> list[Event]:
        """What a follower has not seen yet, in order."""
        rows = self._db.execute(
            "SELECT fields, preview FROM events WHERE job = ? AND seq > ? ORDER BY seq", (job, after)
        )
        return [Event.from_json(json.loads(row["fields"]), row["preview"]) for row in rows]

    def past_runs(self, spec: JobSpec) -> list[dict[str, float]]:
        """The newest finished jobs that asked for the same work: seconds from begin to end of each stage."""
        rows = self._db.execute(
            f"SELECT job FROM jobs WHERE state = 'done' AND {_WORK.format('spec')} = {_WORK.format('?')}"
            " ORDER BY number DESC LIMIT 5",
            (json.dumps(spec.to_json()),),
        ).fetchall()
        return [{event.stage: event.elapsed for event in self.events(row["job"], 0) if event.stage} for row in rows]

    def ended(self, before: float) -> list[tuple[str, float, int]]:
        """Jobs that ended before this time, the oldest first: id, end in Unix seconds, bytes of their artifacts."""
        rows = self._db.execute(
            "SELECT job, ended, coalesce((SELECT sum(size) FROM artifacts WHERE artifacts.job = jobs.job), 0) AS size"
            " FROM jobs WHERE ended < ? ORDER BY ended",
            (before,),
        )
        return [(row["job"], row["ended"], row["size"]) for row in rows]

    def forget(self, job: str) -> None:
        """Remove an ended job and all that is known of it."""
        with self._transaction(durable=True):
            for table in JOB_TABLES:
                self._db.execute(f"DELETE FROM {table} WHERE job = ?", (job,))

    def note_upload(self, client: str, digest: str, size: int) -> None:
        """This client sent a picture of so many bytes."""
        with self._transaction(durable=False):
            self._db.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?)", (client, digest, size))

    def has_upload(self, client: str, digest: str) -> bool:
        """Whether this client sent that picture."""
        found = self._db.execute("SELECT 1 FROM uploads WHERE client = ? AND digest = ?", (client, digest))
        return found.fetchone() is not None

    def forget_upload(self, digest: str) -> None:
        """That picture is no longer there."""
        with self._transaction(durable=False):
            self._db.execute("DELETE FROM uploads WHERE digest = ?", (digest,))

    def bytes_of(self, client: str) -> int:
        """What this client's pictures and the results of its jobs take."""
        found = self._db.execute(
            "SELECT (SELECT coalesce(sum(size), 0) FROM uploads WHERE client = :client)"
            " + (SELECT coalesce(sum(size), 0) FROM artifacts JOIN owners USING (job) WHERE client = :client)",
            {"client": client},
        )
        return int(found.fetchone()[0])

    def needs(self, digest: str) -> bool:
        """Whether any job has this content as its image, its mask, its completion or an artifact."""
        found = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE image = :digest OR mask = :digest)"
            " OR EXISTS (SELECT 1 FROM completions WHERE completion = :digest)"
            " OR EXISTS (SELECT 1 FROM artifacts WHERE sha256 = :digest)",
            {"digest": digest},
        )
        return bool(found.fetchone()[0])

    def _append(
        self,
        job: str,
        state: State,
        error: UnoccludeError | None = None,
        stage: str | None = None,
        step: int = 0,
        total: int = 0,
        eta: float | None = None,
        preview: bytes | None = None,
    ) -> None:
        self._db.execute("UPDATE jobs SET seq = seq + 1 WHERE job = ?", (job,))
        row = self._db.execute("SELECT seq, started FROM jobs WHERE job = ?", (job,)).fetchone()
        now = time.time()
        elapsed = 0.0 if row["started"] is None else max(0.0, now - row["started"])
        event = Event(job, row["seq"], now, state, stage, step, total, elapsed, eta, error)
        slot = f"state {row['seq']}" if stage is None else f"{'progress' if preview is None else 'preview'} {stage}"
        self._db.execute(
            "INSERT OR REPLACE INTO events (job, slot, seq, fields, preview) VALUES (?, ?, ?, ?, ?)",
            (job, slot, event.seq, json.dumps(event.to_json()), preview),
        )

    def _select(self, condition: str, *values: object) -> list[StoredJob]:
        rows = self._db.execute(
            "SELECT job, spec, image, mask, completion, state, created, started, ended, seq, error, client"
            f" FROM jobs LEFT JOIN completions USING (job) LEFT JOIN owners USING (job) WHERE {condition}",
            values,
        )
        return [_stored(row) for row in rows]

    @contextmanager
    def _transaction(self, durable: bool) -> Iterator[None]:
        # In WAL mode, FULL flushes the log to disk at each commit; NORMAL leaves that to the next flush.
        self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _stored(row: sqlite3.Row) -> StoredJob:
    values: dict[str, Any] = dict(row)
    values["spec"] = JobSpec.from_json(json.loads(values["spec"]))
    values["error"] = error_from_json(json.loads(values["error"])) if values["error"] else None
    return StoredJob(**values)


def _dump_error(error: UnoccludeError | None) -> str | None:
    return None if error is None else json.dumps(error_to_json(error))
