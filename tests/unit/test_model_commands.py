"""`unocclude models`: licences, downloads, checks, and what a machine without internet is told."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from shaky_server import ShakyServer
from unocclude.cli import main
from unocclude.models import model_commands, model_folder, registry
from unocclude.models.registry import OFFICIAL, official_file

KNOWN, UNKNOWN, BY_HAND = "bpe_simple_vocab_16e6.txt.gz", "epoch=000005.ckpt", "syncdreamer-pretrain.ckpt"
VOCABULARY = gzip.compress(b"a b\n" * 3000, mtime=0)


def checkpoint(folder: Path) -> bytes:
    path = folder / "made.ckpt"
    torch.save({"state_dict": {"w": torch.arange(3000.0)}}, path)
    return path.read_bytes()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShakyServer]:
    """With the registry changed to expect what it serves."""
    sha256 = hashlib.sha256(VOCABULARY).hexdigest()
    files = [replace(f, size=len(VOCABULARY), sha256=sha256) if f.name == KNOWN else f for f in OFFICIAL]
    for module in (registry, model_commands, model_folder):
        monkeypatch.setattr(module, "OFFICIAL", tuple(files))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    shaky = ShakyServer({KNOWN: VOCABULARY, UNKNOWN: checkpoint(tmp_path)})
    yield shaky
    shaky.close()


def run(folder: Path, *arguments: str) -> int:
    return main(["models", *arguments, "--weights", str(folder)])


def get(server: ShakyServer, folder: Path, name: str, *more: str) -> int:
    return run(folder, "download", name, "--mirror", server.address, *more)


def test_nothing_comes_before_the_licence_is_accepted(
    server: ShakyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    assert get(server, folder, UNKNOWN) == 2
    said = capsys.readouterr()
    assert "CC BY-NC 4.0" in said.out
    assert "not for commercial use" in said.out
    assert "--accept-licence" in said.err
    assert server.ranges == []
    assert get(server, folder, UNKNOWN, "--accept-licence") == 0
    assert (folder / UNKNOWN).read_bytes() == server.files[UNKNOWN]


def test_a_licence_is_asked_for_once(server: ShakyServer, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    assert get(server, folder, UNKNOWN, "--accept-licence") == 0
    assert run(folder, "remove", UNKNOWN) == 0
    assert not (folder / UNKNOWN).exists()
    assert get(server, folder, UNKNOWN) == 0


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_people_are_asked(answer: str, server: ShakyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert (get(server, tmp_path / "weights", KNOWN) == 0) is (answer == "yes")
    assert (tmp_path / "weights" / KNOWN).exists() is (answer == "yes")


@pytest.mark.parametrize("name", [KNOWN, UNKNOWN])
def test_wrong_bytes_are_set_aside(name: str, server: ShakyServer, tmp_path: Path) -> None:
    whole = server.files[name]
    server.files[name] = whole[: len(whole) // 2] + bytes(8) + whole[len(whole) // 2 + 8 :]
    assert get(server, tmp_path / "weights", name, "--accept-licence") == 1
    names = {path.name for path in (tmp_path / "weights").iterdir()}
    assert names == {f"{name}.rejected", "records.json"}


def test_a_web_page_is_no_checkpoint(server: ShakyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.files[UNKNOWN] = b"<html>Sign in to go on</html>"
    assert get(server, tmp_path / "weights", UNKNOWN, "--accept-licence") == 1
    assert "web page" in capsys.readouterr().err
    assert not (tmp_path / "weights" / UNKNOWN).exists()


def test_the_origins_checksum_counts_where_the_registry_has_none(server: ShakyServer, tmp_path: Path) -> None:
    server.headers = {"X-Linked-Etag": '"' + "0" * 64 + '"'}
    assert get(server, tmp_path / "weights", UNKNOWN, "--accept-licence") == 1
    assert not (tmp_path / "weights" / UNKNOWN).exists()


def test_verification_notices_a_change(server: ShakyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "weights"
    for name in (KNOWN, UNKNOWN):
        assert get(server, folder, name, "--accept-licence") == 0
    assert run(folder, "verify") == 0
    said = capsys.readouterr().out
    assert "intact, as published" in said
    assert "no checksum is published" in said
    for name in (KNOWN, UNKNOWN):
        (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"x")
    assert run(folder, "verify") == 1
    assert capsys.readouterr().out.count("CHANGED") == 2
    assert run(folder, "verify", BY_HAND) == 1


def test_files_from_elsewhere_are_taken_over_when_they_are_right(server: ShakyServer, tmp_path: Path) -> None:
    folder, source = tmp_path / "weights", tmp_path / KNOWN
    source.write_bytes(VOCABULARY[:-1])
    assert run(folder, "add", str(source), "--accept-licence") == 1
    assert not (folder / KNOWN).exists()
    source.write_bytes(VOCABULARY)
    assert run(folder, "add", str(source)) == 0
    assert (folder / KNOWN).read_bytes() == VOCABULARY
    assert run(folder, "add", str(tmp_path / "unheard-of.ckpt")) == 2


def test_a_machine_without_internet_gets_instructions(
    server: ShakyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.close()
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert get(server, tmp_path / "weights", KNOWN, "--accept-licence") == 1
    said = capsys.readouterr().err
    for part in (official_file(KNOWN).urls[0], f"unocclude models add PATH/TO/{KNOWN}", "sha256 is"):
        assert part in said


def test_what_can_only_be_had_by_hand_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "download", BY_HAND) == 1
    said = capsys.readouterr().err
    assert "github.com/liuyuan-pal/SyncDreamer" in said
    assert f"unocclude models add PATH/TO/{BY_HAND}" in said


def test_another_hugging_face_can_be_named(
    server: ShakyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    path = official_file(UNKNOWN).urls[0].removeprefix("https://huggingface.co/")
    server.files[path] = server.files[UNKNOWN]
    assert run(tmp_path / "weights", "download", UNKNOWN, "--accept-licence") == 0
    assert (tmp_path / "weights" / UNKNOWN).exists()


def test_the_list_says_what_is_here(server: ShakyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert get(server, tmp_path, KNOWN, "--accept-licence") == 0
    capsys.readouterr()
    assert run(tmp_path, "list") == 0
    lines = {line.split()[2]: line for line in capsys.readouterr().out.splitlines()[1:-1]}
    assert lines[KNOWN].endswith("here")
    assert "huggingface.co" in lines[UNKNOWN]
    assert "unknown" in lines[UNKNOWN]
    assert run(tmp_path, "licences") == 0
    assert "CC BY-NC 4.0 (not accepted yet)" in capsys.readouterr().out


def test_programs_are_told_in_json(
    server: ShakyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = (official_file(KNOWN), official_file(UNKNOWN))
    monkeypatch.setattr(model_commands, "NEEDED", needed)
    folder = tmp_path / "weights"
    assert run(folder, "list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(file["name"], file["here"]) for file in told["files"]] == [(KNOWN, False), (UNKNOWN, False)]
    assert {licence["name"]: licence["accepted"] for licence in told["licences"]} == {
        "MIT": False,
        "CC BY-NC 4.0": False,
    }
    assert get(server, folder, UNKNOWN, "--accept-licence", "--json") == 0
    amounts = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    size = len(server.files[UNKNOWN])
    assert amounts[-1] == {"have": size, "total": size}
    assert run(folder, "list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [file["here"] for file in told["files"]] == [False, True]
    assert {licence["name"]: licence["accepted"] for licence in told["licences"]} == {
        "MIT": False,
        "CC BY-NC 4.0": True,
    }
