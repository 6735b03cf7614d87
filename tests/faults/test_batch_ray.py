"""Many images on Ray: the same results as one after the other, also where a worker is killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image
from unocclude.cli import main

pytest.importorskip("ray", reason="Ray is an extra")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for Ray's workers in /proc")

SAMPLE = Path(str(resources.files("unocclude") / "bundled" / "sample.png"))
POINT = json.loads(SAMPLE.with_suffix(".json").read_text())["points"][0]
COUNT = 4


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Pictures that differ a little, and one that there is not."""
    lines = []
    for number in range(COUNT):
        picture = Image.open(SAMPLE).convert("RGB")
        picture.putpixel((0, 0), (number, 0, 0))
        picture.save(tmp_path / f"{number}.png")
        lines.append({"image": f"{number}.png", "point": POINT})
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, [*lines, {"image": "none.png", "point": POINT}])))
    return path


def run(manifest: Path, out: Path, *options: str) -> int:
    return main(["batch", str(manifest), "--out", str(out), "--to", "segment", "--device", "cpu", *options])


def kill_one_worker(killed: list[int], over: threading.Event) -> None:
    """The first process of ours that is at work on an image."""
    while not over.is_set() and not killed:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "cmdline").read_bytes().startswith(b"ray::reconstruct_on_worker"):
                    os.kill(int(folder.name), signal.SIGKILL)
                    killed.append(int(folder.name))
                    return
            except OSError:
                continue
        time.sleep(0.01)


def test_a_killed_worker_loses_no_image(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # its workers would wait for whatever else the machine does
    killed: list[int] = []
    over = threading.Event()
    killer = threading.Thread(target=kill_one_worker, args=(killed, over))
    killer.start()
    assert run(manifest, tmp_path / "ray", "--engine", "ray", "--workers", "2") == 1
    over.set()
    killer.join()
    assert killed
    assert f"1 of {COUNT + 1} images failed" in capsys.readouterr().err
    assert run(manifest, tmp_path / "local") == 1
    for number in range(COUNT):
        one, other = (tmp_path / engine / str(number) / "visible_mask.png" for engine in ("ray", "local"))
        assert one.read_bytes() == other.read_bytes()
    capsys.readouterr()
    assert run(manifest, tmp_path / "ray", "--engine", "ray", "--workers", "1", "--resume") == 1
    assert f"{COUNT} of {COUNT + 1} done before" in capsys.readouterr().out
