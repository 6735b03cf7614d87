"""Downloads from a server that cuts, stalls, lies about lengths and serves wrong bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from shaky_server import SLICE, ShakyServer
from unocclude.models.download import DownloadError, Published, fetch

CONTENT = np.random.default_rng(0).bytes(5 * SLICE)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ShakyServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    shaky = ShakyServer({"file": CONTENT})
    yield shaky
    shaky.close()


def get(server: ShakyServer, folder: Path, size: int | None = len(CONTENT), name: str = "file") -> Published:
    reports: list[tuple[int, int | None]] = []
    partial = folder / "file.part"
    found = fetch(f"{server.address}/{name}", partial, lambda *at: reports.append(at), size, stalled=0.5, pause=0.01)
    assert reports[-1] == (partial.stat().st_size, found.size)
    return found


def test_a_whole_file(server: ShakyServer, tmp_path: Path) -> None:
    assert get(server, tmp_path) == Published(len(CONTENT), None)
    assert (tmp_path / "file.part").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file.part"]


@pytest.mark.parametrize("fault", ["cut", "stall", "busy"])
def test_it_goes_on_where_it_broke_off(fault: str, server: ShakyServer, tmp_path: Path) -> None:
    server.misbehave = [fault, fault]
    get(server, tmp_path)
    assert (tmp_path / "file.part").read_bytes() == CONTENT
    resumed = [None, f"bytes={SLICE}-", f"bytes={2 * SLICE}-"]
    assert server.ranges == ([None] * 3 if fault == "busy" else resumed)


def test_it_goes_on_the_next_time(server: ShakyServer, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[: 2 * SLICE])
    get(server, tmp_path)
    assert server.ranges == [f"bytes={2 * SLICE}-"]
    assert (tmp_path / "file.part").read_bytes() == CONTENT


def test_a_server_that_cannot_go_on_begins_again(server: ShakyServer, tmp_path: Path) -> None:
    server.misbehave = ["cut", "no_range"]
    get(server, tmp_path)
    assert (tmp_path / "file.part").read_bytes() == CONTENT


def test_a_part_of_something_longer_is_thrown_away(server: ShakyServer, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT + CONTENT)
    get(server, tmp_path)
    assert (tmp_path / "file.part").read_bytes() == CONTENT


def test_it_ends_when_nothing_more_comes(server: ShakyServer, tmp_path: Path) -> None:
    server.misbehave = ["cut"] + ["busy"] * 20
    with pytest.raises(DownloadError, match=f"no more after {SLICE} bytes"):
        get(server, tmp_path)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:SLICE]


@pytest.mark.parametrize("lie", ["boast", "short"])
def test_a_length_that_differs_from_the_published_one_is_refused(lie: str, server: ShakyServer, tmp_path: Path) -> None:
    server.misbehave = [lie]
    with pytest.raises(DownloadError, match="announces"):
        get(server, tmp_path)
    assert not (tmp_path / "file.part").exists()


def test_a_boast_about_a_file_of_unknown_length_does_not_end_in_a_file(server: ShakyServer, tmp_path: Path) -> None:
    server.misbehave = ["boast"] * 100
    with pytest.raises(DownloadError, match=f"no more after {len(CONTENT)} bytes"):
        get(server, tmp_path, size=None)
    assert len(server.misbehave) > 90


def test_a_missing_file_is_no_reason_to_wait(server: ShakyServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="404"):
        get(server, tmp_path, name="other")
    assert len(server.ranges) == 1


def test_hugging_faces_checksum_is_heard(server: ShakyServer, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    server.headers = {"X-Linked-Etag": f'"{sha256}"'}
    assert get(server, tmp_path).sha256 == sha256


def test_another_version_is_not_appended(server: ShakyServer, tmp_path: Path) -> None:
    server.headers, server.misbehave = {"ETag": '"one"'}, ["cut"] + ["busy"] * 3
    with pytest.raises(DownloadError):
        get(server, tmp_path)
    other = CONTENT[::-1]
    server.files["file"], server.headers, server.misbehave = other, {"ETag": '"two"'}, ["no_range"]
    get(server, tmp_path)
    assert (tmp_path / "file.part").read_bytes() == other


def test_proxies_are_asked(server: ShakyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "http://weights.invalid/file"
    monkeypatch.setenv("http_proxy", server.address)
    server.files[address] = CONTENT  # a proxy is asked for the whole address
    fetch(address, tmp_path / "file.part", lambda *at: None, pause=0.01)
    assert (tmp_path / "file.part").read_bytes() == CONTENT
