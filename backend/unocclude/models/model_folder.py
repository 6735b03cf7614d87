"""The folder of the official weights: what is there, whether it is intact, and which licences were accepted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unocclude.connection import home_folder
from unocclude.errors import ModelsMissingError, UnoccludeError
from unocclude.models.registry import OFFICIAL, Licence, OfficialFile

RECORDS = "records.json"
TORCH_STARTS = (b"PK\x03\x04", b"\x80", b"\x1f\x8b")
"""First bytes of zipped and older torch files, and of gzip."""


class DamagedError(UnoccludeError):
    """A file is not what was published. It is set aside, never used."""

    code = "damaged"


class ModelFolder:
    """Files under their published names. `records.json` keeps checksums as received and accepted licences."""

    def __init__(self, path: Path | None = None) -> None:
        """`path`: default is `weights` in the backend's own folder."""
        self.path = path or home_folder() / "weights"

    def has(self, file: OfficialFile) -> bool:
        return (self.path / file.name).is_file()

    def find(self, use: str) -> Path:
        """The file for a stage. Raises ModelsMissingError that says which is missing and how to get it."""
        candidates = [file for file in OFFICIAL if file.use == use]
        for file in candidates:
            if self.has(file):
                return self.path / file.name
        wanted = candidates[0]
        raise ModelsMissingError(
            f"The official weights for “{use}” are missing: {wanted.name} is not in {self.path}.",
            f"{instructions(wanted)} Or use --profile bundled.",
        )

    def accepted(self, licence: Licence) -> bool:
        return licence.name in self._records()["licences"]

    def accept(self, licence: Licence) -> None:
        records = self._records()
        records["licences"][licence.name] = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(records)

    def partial(self, file: OfficialFile) -> Path:
        """Where a download of `file` grows."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path / f"{file.name}.part"

    def receive(self, file: OfficialFile, arrived: Path, origin: str, sha256: str | None = None) -> None:
        """Checks the file `arrived`, which must be in this folder, and puts it in its place.

        `sha256`: as the origin told it, where the registry knows none. Raises DamagedError where size, checksum or
        structure are wrong; the file is then kept as NAME.rejected for those who want to look.
        """
        found = sha256_of(arrived)
        wanted = file.sha256 or sha256
        wrong = None
        if file.size is not None and arrived.stat().st_size != file.size:
            wrong = f"{arrived.stat().st_size} bytes instead of {file.size}"
        elif wanted is not None and found != wanted:
            wrong = f"sha256 {found} instead of {wanted}"
        elif wanted is None:
            wrong = _fault(arrived)
        if wrong:
            rejected = self.path / f"{file.name}.rejected"
            os.replace(arrived, rejected)
            raise DamagedError(
                f"{file.name} from {origin} is not the published file ({wrong}). It was set aside as {rejected.name}.",
                f"Get it again, or from {file.page}.",
            )
        os.replace(arrived, self.path / file.name)
        records = self._records()
        records["files"][file.name] = {"sha256": found, "origin": origin, "published": wanted is not None}
        self._write(records)

    def add(self, file: OfficialFile, source: Path) -> None:
        """Copies a file from elsewhere on this machine. Raises ModelsMissingError without it, DamagedError."""
        if not source.is_file():
            raise ModelsMissingError(f"There is no file {source}.", "Check the path.")
        copy = self.path / f"{file.name}.copy"
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, copy)
            self.receive(file, copy, str(source))
        finally:
            copy.unlink(missing_ok=True)

    def verify(self, file: OfficialFile) -> tuple[bool, str]:
        """Whether the file is intact, and in words how that is known."""
        path = self.path / file.name
        if not path.is_file():
            return False, "missing"
        record = self._records()["files"].get(file.name, {})
        wanted = file.sha256 or record.get("sha256")
        if wanted is None:
            fault = _fault(path)
            return fault is None, fault or "readable; no checksum is known"
        if sha256_of(path) != wanted:
            return False, "CHANGED: remove it and get it again"
        published = file.sha256 is not None or record.get("published", False)
        return True, "intact, as published" if published else "intact, as received; no checksum is published"

    def remove(self, file: OfficialFile) -> bool:
        """Also what is left of interrupted and rejected downloads. False where there was nothing."""
        names = [file.name, *(f"{file.name}.{end}" for end in ("part", "part.version", "rejected"))]
        there = [self.path / name for name in names if (self.path / name).exists()]
        for path in there:
            path.unlink()
        records = self._records()
        if records["files"].pop(file.name, None):
            self._write(records)
        return bool(there)

    def _records(self) -> dict[str, dict[str, Any]]:
        empty: dict[str, dict[str, Any]] = {"files": {}, "licences": {}}
        try:
            return empty | json.loads((self.path / RECORDS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return empty

    def _write(self, records: dict[str, dict[str, Any]]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / f"{RECORDS}.partial"
        partial.write_text(json.dumps(records, indent=2), encoding="utf-8")
        os.replace(partial, self.path / RECORDS)


def instructions(file: OfficialFile) -> str:
    """How to get a file, also onto a machine without internet."""
    if not file.urls:
        return (
            f"Get {file.name} by hand from {file.page}, then run: unocclude models add PATH/TO/{file.name}"
            f" (licence: {file.licence.name})."
        )
    checks = "" if file.sha256 is None else f" Its sha256 is {file.sha256}."
    return (
        f"Run: unocclude models download {file.name} (licence: {file.licence.name})."
        f" Without internet here, get {file.urls[0]} on another machine, copy it over, and run:"
        f" unocclude models add PATH/TO/{file.name}.{checks}"
    )


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fault(path: Path) -> str | None:
    """What is wrong with a file whose checksum nobody published, as far as it tells itself."""
    with path.open("rb") as file:
        start = file.read(4)
    if not start.startswith(TORCH_STARTS):
        return "this is no weight file, perhaps a web page"
    if not start.startswith(TORCH_STARTS[0]):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError):
        return "its end is missing"
    return f"its part {damaged} is damaged" if damaged else None
