"""A damaged job store: set aside, and what can still be read of it goes on in a new one."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

log = logging.getLogger(__name__)


def is_damaged(path: Path) -> bool:
    """Whether SQLite finds this file to be damaged, or to be no store at all. False where there is none yet."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(path)) as database:
        try:
            return bool(database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        except sqlite3.DatabaseError as error:
            return error.sqlite_errorcode in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def set_aside(path: Path) -> Path:
    """Rename the store, with the log that belongs to it; return its new path."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    for end in ("-wal", "-shm", ""):
        if path.with_name(path.name + end).exists():
            os.replace(path.with_name(path.name + end), aside.with_name(aside.name + end))
    return aside


def copy_readable(damaged: Path, database: sqlite3.Connection, tables: tuple[str, ...]) -> int:
    """Copy every row that can be read into the new store, whose tables are empty; return how many."""
    copied = 0
    with closing(sqlite3.connect(damaged)) as source:
        for table in tables:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            places = ", ".join("?" * len(columns))
            for row in _readable_rows(source, table, ", ".join(columns)):
                try:
                    database.execute(f"INSERT INTO {table} VALUES ({places})", row)
                    copied += 1
                except sqlite3.Error as error:
                    log.warning("a row of %s is lost (%s)", table, error)
    return copied


def _readable_rows(source: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[object, ...]]:
    """The rows from both ends towards the damage: a scan stops at the first page that cannot be read."""
    seen: set[int] = set()
    for order in ("ASC", "DESC"):
        try:
            for number, *row in source.execute(f"SELECT rowid, {columns} FROM {table} ORDER BY rowid {order}"):
                if number not in seen:
                    seen.add(number)
                    yield tuple(row)
        except sqlite3.DatabaseError as error:
            log.warning("%s cannot be read further (%s)", table, error)
