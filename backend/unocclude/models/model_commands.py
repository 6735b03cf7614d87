"""`unocclude models`: what there is, under which licence, and getting, checking and removing it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from unocclude.errors import InputError, UnoccludeError
from unocclude.models.download import DownloadError, OnBytes, fetch
from unocclude.models.model_folder import ModelFolder, instructions
from unocclude.models.registry import BUNDLED, BUNDLED_FILES, NEEDED, OFFICIAL, Licence, OfficialFile, official_file

HUGGING_FACE = "https://huggingface.co"


def listing(folder: ModelFolder) -> str:
    """A line per file: profile, what for, name, size, whether it is here, and from where it comes."""
    lines = [f"{'profile':<9}{'use':<11}{'file':<30}{'size':>9}  state"]
    for name in BUNDLED_FILES:
        path = BUNDLED / name
        state = "in this package" if path.is_file() else "MISSING: reinstall unocclude"
        lines.append(f"{'bundled':<9}{path.stem:<11}{name:<30}{_size(_length(path)):>9}  {state}")
    for file in OFFICIAL:
        here = folder.has(file)
        size = _length(folder.path / file.name) if here else file.size
        state = "here" if here else f"from {file.urls[0] if file.urls else file.page}"
        lines.append(f"{'official':<9}{file.use:<11}{file.name:<30}{_size(size):>9}  {state}")
    return "\n".join([*lines, f"Folder of the official files: {folder.path}"])


def licences(folder: ModelFolder) -> str:
    """A paragraph per licence: terms, address, the files under it, whether it was accepted."""
    bundled = f"GPL-3.0-or-later (as the package)\n  {', '.join(BUNDLED_FILES)}"
    return "\n\n".join([bundled, *(_licence_text(licence, folder) for licence in _distinct(OFFICIAL))])


def needed(folder: ModelFolder) -> dict[str, Any]:
    """What the official profile needs, for programs: `files` with name, size in bytes or null and whether it is here,
    `licences` with name, terms, url, the files under it and whether it was accepted."""
    return {
        "files": [{"name": file.name, "size": file.size, "here": folder.has(file)} for file in NEEDED],
        "licences": [
            {
                **asdict(licence),
                "files": [file.name for file in NEEDED if file.licence == licence],
                "accepted": folder.accepted(licence),
            }
            for licence in _distinct(NEEDED)
        ],
    }


def download(
    names: Sequence[str],
    folder: ModelFolder,
    *,
    accept: bool,
    mirror: str | None = None,
    stalled: float | None = None,
    tell: OnBytes | None = None,
) -> None:
    """Gets files, all that the official profile needs by default; those that are here are left alone.

    `accept`: of the licences, instead of a question. `mirror`: the address of a folder with files of these names.
    `tell`: told about all files together, now and then, in place of bars.
    Raises InputError where a licence is not accepted, UnoccludeError where a file could not be had.
    """
    files = [file for file in _chosen(names) if not folder.has(file)]
    by_hand = [file for file in files if not file.urls and mirror is None]
    files = [file for file in files if file not in by_hand]
    _agree(files, folder, accept)
    _check_space(files, folder)
    troubles = []
    with _Bars(files, folder, tell) as bars:
        for file in files:
            try:
                _get(file, folder, bars, _addresses(file, mirror), {} if stalled is None else {"stalled": stalled})
            except UnoccludeError as error:
                troubles.append(str(error))
    troubles += [instructions(file) for file in by_hand]
    if troubles:
        raise UnoccludeError("\n".join(troubles))
    print(f"All there, in {folder.path}.")


def verify(names: Sequence[str], folder: ModelFolder) -> None:
    """Reads the files that are here, or those named, and says of each whether it is intact.

    Raises UnoccludeError unless all are.
    """
    files = [official_file(name) for name in names] or [file for file in OFFICIAL if folder.has(file)]
    verdicts = {file.name: folder.verify(file) for file in files}
    for name, (_, words) in verdicts.items():
        print(f"{name:<30} {words}")
    if bad := [name for name, (intact, _) in verdicts.items() if not intact]:
        raise UnoccludeError(f"Not as they should be: {', '.join(bad)}.", "Get them again: unocclude models download.")
    if not files:
        print(f"There are no official files in {folder.path}.")


def add(paths: Sequence[str], folder: ModelFolder, *, accept: bool) -> None:
    """Takes over files that were got by other means. They must bear their published names."""
    if not paths:
        raise InputError("No file was named.", "unocclude models add PATH/TO/FILE")
    files = {Path(path): official_file(Path(path).name) for path in paths}
    _agree(list(files.values()), folder, accept)
    for path, file in files.items():
        folder.add(file, path)
        print(f"{file.name}: {folder.verify(file)[1]}")


def remove(names: Sequence[str], folder: ModelFolder) -> None:
    if not names:
        raise InputError("No file was named.", "unocclude models remove NAME")
    for file in [official_file(name) for name in names]:
        print(f"{file.name}: {'removed' if folder.remove(file) else 'was not here'}")


def _get(
    file: OfficialFile, folder: ModelFolder, bars: _Bars, addresses: Sequence[str], limits: dict[str, float]
) -> None:
    """From the first address that gives it."""
    growing, failed = folder.partial(file), []
    for address in addresses:
        try:
            published = fetch(address, growing, bars.at(file), file.size, **limits)
        except DownloadError as error:
            failed.append(str(error))
            continue
        folder.receive(file, growing, address, published.sha256)
        return
    raise UnoccludeError(f"{file.name} could not be downloaded: {' '.join(failed)}", instructions(file))


def _addresses(file: OfficialFile, mirror: str | None) -> list[str]:
    """HF_ENDPOINT replaces Hugging Face, as in its own tools."""
    if mirror is not None:
        return [f"{mirror.rstrip('/')}/{file.name}"]
    endpoint = os.environ.get("HF_ENDPOINT", HUGGING_FACE).rstrip("/")
    return [url.replace(HUGGING_FACE, endpoint, 1) for url in file.urls]


def _chosen(names: Sequence[str]) -> list[OfficialFile]:
    return [official_file(name) for name in names] or list(NEEDED)


def _agree(files: Sequence[OfficialFile], folder: ModelFolder, accept: bool) -> None:
    """Shows each licence that is new here, and goes on only when it is accepted."""
    for licence in _distinct(files):
        if folder.accepted(licence):
            continue
        print(_licence_text(licence, folder))
        if not accept:
            if not sys.stdin.isatty():
                raise InputError(
                    f"The licence {licence.name} has not been accepted.", "Read it, then add --accept-licence."
                )
            if input("Do you accept it? Type yes: ").strip().lower() != "yes":
                raise InputError("The licence was not accepted; nothing was downloaded.")
        folder.accept(licence)


def _licence_text(licence: Licence, folder: ModelFolder) -> str:
    names = ", ".join(file.name for file in OFFICIAL if file.licence == licence)
    state = "accepted" if folder.accepted(licence) else "not accepted yet"
    return f"{licence.name} ({state}): {licence.terms}\n  {licence.url}\n  {names}"


def _distinct(files: Sequence[OfficialFile]) -> list[Licence]:
    return list(dict.fromkeys(file.licence for file in files))


def _check_space(files: Sequence[OfficialFile], folder: ModelFolder) -> None:
    missing = sum((file.size or 0) - _length(folder.partial(file)) for file in files)
    if files and (free := shutil.disk_usage(folder.path).free) < missing:
        raise UnoccludeError(
            f"{folder.path} has {_size(free)} free; {_size(missing)} are needed.",
            "Free some space, or choose another folder with --weights.",
        )


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _size(count: int | None) -> str:
    if count is None:
        return "unknown"
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


class _Bars:
    """A bar for the file and one for all of them, with rate and time left."""

    def __init__(self, files: Sequence[OfficialFile], folder: ModelFolder, tell: OnBytes | None = None) -> None:
        self._tell = tell
        self._start = {file.name: _length(folder.partial(file)) for file in files}
        self._sizes = {file.name: file.size for file in files}
        self._have = dict(self._start)
        options = {"unit": "B", "unit_scale": True, "unit_divisor": 1000, "disable": not files or tell is not None}
        self._one = tqdm(position=0, **options)
        self._all = tqdm(position=1, desc=f"{len(files)} files", initial=sum(self._start.values()), **options)

    def at(self, file: OfficialFile) -> OnBytes:
        """For the file that comes next."""
        self._one.reset(file.size)
        self._one.initial = self._one.n = self._start[file.name]
        self._one.set_description(file.name)
        return partial(self._show, file.name)

    def _show(self, name: str, have: int, total: int | None) -> None:
        self._have[name], self._sizes[name] = have, total
        self._one.total = total
        self._all.total = sum(size or 0 for size in self._sizes.values()) or None
        self._one.update(have - self._one.n)
        self._all.update(sum(self._have.values()) - self._all.n)
        if self._tell is not None:
            sizes = self._sizes.values()
            self._tell(sum(self._have.values()), None if None in sizes else sum(size or 0 for size in sizes))

    def __enter__(self) -> _Bars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._one.close()
        self._all.close()
