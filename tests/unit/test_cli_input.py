"""Bad input: exit code 2, one line that says the cure, and nothing written."""

from __future__ import annotations

import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from unocclude.cli import main


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.fromarray(np.full((48, 64, 3), 120, np.uint8)).save(path)
    return path


def refused(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object) -> str:
    """What is said, after checking how."""
    assert main([str(a) for a in arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert not out.exists()
    return said[0]


def header_only_png(path: Path, width: int, height: int) -> None:
    """A picture that claims a size; its pixels are never there."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--point"),
        (("--point", 64, 10), "outside the image"),
        (("--point", 10, -1), "outside the image"),
        (("--box", 10, 10, 5, 20), "box"),
        (("--point", 5, 5, "--profile", "best"), "no profile"),
        (("--point", 5, 5, "--profile", "official"), "sam_vit_h_4b8939.pth"),
        (("--point", 5, 5, "--preset", "nice"), "preset"),
        (("--point", 5, 5, "--samples", 0), "samples"),
        (("--point", 5, 5, "--choose", 4), "no sample 4"),
        (("--point", 5, 5, "--elevation", "high"), "elevation"),
        (("--point", 5, 5, "--device", "abacus"), "no device"),
        (("--point", 5, 5, "--to", "moon"), "to cannot be"),
    ],
)
def test_an_option_that_cannot_be(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...], said: str
) -> None:
    out = tmp_path / "out"
    assert said in refused(capsys, out, "reconstruct", image, *options, "--out", out)


def test_files_that_are_no_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    for path, said in ((tmp_path / "missing.png", "no file"), (text, "not an image"), (tmp_path, "folder")):
        assert said in refused(capsys, out, "reconstruct", path, "--point", 1, 1, "--out", out)


def test_sizes_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    huge, tiny = tmp_path / "huge.png", tmp_path / "tiny.png"
    header_only_png(huge, 30_000, 30_000)
    Image.new("RGB", (1, 1)).save(tiny)
    assert "30000 x 30000" in refused(capsys, out, "reconstruct", huge, "--point", 1, 1, "--out", out)
    assert "1 x 1" in refused(capsys, out, "reconstruct", tiny, "--point", 0, 0, "--out", out)


def test_a_damaged_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, cut = tmp_path / "out", tmp_path / "cut.png"
    header_only_png(cut, 64, 64)
    assert "damaged" in refused(capsys, out, "reconstruct", cut, "--point", 1, 1, "--out", out)


def test_masks_that_do_not_fit(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, mask = tmp_path / "out", tmp_path / "mask.png"
    Image.new("L", (64, 48)).save(mask)
    assert "empty" in refused(capsys, out, "reconstruct", image, "--mask", mask, "--out", out)
    Image.new("L", (48, 64), 255).save(mask)
    assert "size" in refused(capsys, out, "reconstruct", image, "--mask", mask, "--out", out)


@pytest.mark.parametrize("preset", ["radiance", "reference"])
def test_other_ways_to_a_surface_take_no_base(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mesh = tmp_path / "mesh.glb"
    said = refused(capsys, mesh, "surface", tmp_path, "--out", mesh, "--preset", preset, "--base", 0)
    assert f"The preset {preset} takes no base" in said


@pytest.mark.parametrize("command", ["status", "jobs", "stop"])
def test_no_backend(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNOCCLUDE_HOME", str(tmp_path / "home"))
    assert "unocclude serve" in refused(capsys, tmp_path / "out", command)


def test_a_port_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNOCCLUDE_HOME", str(tmp_path / "home"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(capsys, tmp_path / "out", "serve", "--endpoint", f"tcp://127.0.0.1:{port}")


def test_a_manifest_that_is_not_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, manifest = tmp_path / "out", tmp_path / "manifest.jsonl"
    manifest.write_text('{"image": "a.png"\n')
    assert "Line 1" in refused(capsys, out, "batch", manifest, "--out", out)
