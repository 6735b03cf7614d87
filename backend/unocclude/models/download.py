"""Large files over HTTP: resumed where they broke off, given up when nothing more comes.

Proxies and certificates are taken from the usual environment variables (HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from unocclude.errors import UnoccludeError

CHUNK = 1 << 20
CONNECT_SECONDS = 10.0
STALLED_SECONDS = 30.0
"""Without a byte for so long, a connection is taken for dead."""
ATTEMPTS = 4
"""In a row that bring nothing new, before a source is given up."""

OnBytes = Callable[[int, int | None], None]
"""Told how many bytes there are by now, and of how many, if the server says."""


class DownloadError(UnoccludeError):
    """A source did not give the file."""

    code = "download"


@dataclass(frozen=True)
class Published:
    """What the server said about the file. Hugging Face tells the sha256 of what it keeps."""

    size: int | None
    sha256: str | None


class _Interrupted(Exception):  # noqa: N818  (an event, after which one tries again)
    """This attempt is over; the next may go on from here."""


def fetch(
    url: str,
    partial: Path,
    on_bytes: OnBytes,
    size: int | None = None,
    *,
    stalled: float = STALLED_SECONDS,
    pause: float = 1.0,
) -> Published:
    """Downloads to the file `partial`, going on from what is there already.

    `size`: in bytes, if it is known; a server that announces another is not listened to. `pause`: seconds before the
    second attempt, doubled with each further one. Raises DownloadError; what has come by then stays for the next time.
    """
    failures, most = 0, _length(partial)
    while True:
        try:
            return _attempt(url, partial, on_bytes, size, stalled)
        except (requests.RequestException, HTTPError, _Interrupted) as error:
            have = _length(partial)
            failures, most = (1, have) if have > most else (failures + 1, most)
            if failures == ATTEMPTS:
                raise DownloadError(f"{url} gives no more after {most} bytes: {error}.") from error
        time.sleep(pause * 2 ** (failures - 1))


def _attempt(url: str, partial: Path, on_bytes: OnBytes, size: int | None, stalled: float) -> Published:
    have, version = _length(partial), _version_file(partial)
    headers = {"Accept-Encoding": "identity"}
    if have and version.is_file():
        headers |= {"Range": f"bytes={have}-", "If-Range": version.read_text()}
    elif have:
        headers |= {"Range": f"bytes={have}-"}
    with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, stalled)) as response:
        _refuse_downgrade(url, response.url)
        if response.status_code == 416:  # what is here reaches beyond what is there
            partial.unlink()
            raise _Interrupted("the part that was here does not belong to it")
        if response.status_code in (408, 429) or response.status_code >= 500:
            raise _Interrupted(f"answer {response.status_code}")
        if response.status_code not in (200, 206):
            raise DownloadError(f"{url} answers {response.status_code} {response.reason}.")
        offset, total = _extent(response)
        if offset not in (0, have):
            raise DownloadError(f"{url} sends another part than asked for.")
        if size is not None and total is not None and total != size:
            raise DownloadError(f"{url} announces {total} bytes; the file has {size}.")
        if tag := response.headers.get("ETag") or response.headers.get("Last-Modified"):
            version.write_text(tag)
        with partial.open("r+b" if partial.exists() else "wb") as file:
            file.truncate(offset)
            file.seek(offset)
            on_bytes(offset, total)
            while chunk := response.raw.read1(CHUNK):  # what has come, so that a cut loses nothing
                file.write(chunk)
                on_bytes(file.tell(), total)
        if total is not None and _length(partial) < total:
            raise _Interrupted(f"the connection ended at {_length(partial)} of {total} bytes")
    version.unlink(missing_ok=True)
    return Published(total, _published_sha256(response))


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """(where the body begins, length of the whole file)."""
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None:
            raise _Interrupted("it does not say which part it sends")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length")
    return 0, None if length is None else int(length)


def _published_sha256(response: requests.Response) -> str | None:
    tags = (r.headers.get("X-Linked-Etag", "").strip('"') for r in (*response.history, response))
    return next((tag for tag in tags if re.fullmatch(r"[0-9a-f]{64}", tag)), None)


def _refuse_downgrade(asked: str, answered: str) -> None:
    if asked.startswith("https:") and not answered.startswith("https:"):
        raise DownloadError(f"{asked} leads to an address that is not protected: {answered}.")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _version_file(partial: Path) -> Path:
    """Holds the server's mark of the version that `partial` is a part of."""
    return partial.with_name(partial.name + ".version")
