"""Reconstruction without a window: one picture, many, and everything that can be wrong."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from real_blenders import HERE, ROOT, Blender, execute
from scripted_backend import FAILING, STEADY
from unocclude.client import Client

HEADLESS = ROOT / "addon" / "headless.py"

Headless = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def headless(blender: Blender, user: Path, dist: Path) -> Headless:
    """Run addon/headless.py from the source tree. The packages were built, so there are wheels of pyzmq."""
    return lambda *arguments: execute(blender.script(HEADLESS, *arguments))


@pytest.fixture
def cup(tmp_path: Path) -> Path:
    path = tmp_path / "cup.png"
    Picture.fromarray(np.full((40, 60, 3), 128, np.uint8)).save(path)
    return path


def test_one_picture(headless: Headless, blender: Blender, backend: Path, cup: Path, tmp_path: Path) -> None:
    done = headless("--image", cup, "--point", 20, 30, "--negative", 1, 2, "--mask", cup, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = json.loads((tmp_path / "out" / "summary.json").read_text())["pictures"]
    assert (told["name"], told["ok"], told["vertices"], told["faces"]) == ("cup", True, 8, 12)
    assert told["silhouette_iou"] > 0.95
    assert (tmp_path / "out" / "cup" / "received").read_bytes() == cup.read_bytes()
    looked = execute(blender.script(HERE / "inside" / "look.py", told["blend"]))
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert "cup in Unocclude cup: 8 vertices, textured" in looked.stdout


def test_many_pictures(headless: Headless, backend: Path, cup: Path, tmp_path: Path) -> None:
    """One that fails does not stop the others."""
    lines = [
        {"image": "cup.png", "point": [20, 30]},
        {"image": "cup.png", "point": [20, 30], "seed": FAILING},
        {"image": "nowhere.png", "point": [1, 1]},
        {"image": "cup.png", "points": [[1, 1]], "name": "last"},
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)))
    done = headless(manifest, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout + done.stderr
    told = json.loads((tmp_path / "out" / "summary.json").read_text())["pictures"]
    assert [(entry["name"], entry["ok"]) for entry in told] == [
        ("cup", True),
        ("cup-2", False),
        ("nowhere", False),
        ("last", True),
    ]
    assert (told[1]["error"], told[1]["cure"]) == ("There is nothing at the point.", "Click on the object.")
    assert {path.name for path in (tmp_path / "out").rglob("*.blend")} == {"cup.blend", "last.blend"}


def test_a_run_is_finished_where_it_was_interrupted(
    headless: Headless, backend: Path, cup: Path, tmp_path: Path
) -> None:
    """What is done stays; what failed, what was asked otherwise since, and what lost its file are done again."""
    manifest, out = tmp_path / "manifest.jsonl", tmp_path / "out"

    def run(asked: list[tuple[int, int]], *options: str) -> dict[str, float]:
        """With a point's x and a seed for each picture."""
        lines = [
            {"image": "cup.png", "point": [x, 30], "seed": seed, "name": f"cup {i}"}
            for i, (x, seed) in enumerate(asked)
        ]
        manifest.write_text("\n".join(map(json.dumps, lines)))
        headless(manifest, "--out", out, *options)
        told = json.loads((out / "summary.json").read_text())["pictures"]
        assert [entry["ok"] for entry in told] == [seed != FAILING for _, seed in asked]
        return {path.stem: path.stat().st_mtime_ns for path in out.rglob("*.blend")}

    first = run([(20, 0), (21, FAILING), (22, 0), (23, 0)])
    assert set(first) == {"cup 0", "cup 2", "cup 3"}
    (out / "cup 3" / "cup 3.blend").unlink()
    asked_otherwise = [(20, 0), (21, 0), (32, 0), (23, 0)]
    second = run(asked_otherwise, "--resume")
    assert second["cup 0"] == first["cup 0"]
    assert second["cup 2"] > first["cup 2"]
    assert set(second) == {f"cup {i}" for i in range(4)}
    assert run(asked_otherwise)["cup 0"] > first["cup 0"]


def test_a_picture_that_changes_meanwhile_is_done_again(
    headless: Headless, backend: Path, cup: Path, tmp_path: Path
) -> None:
    def change_it() -> None:
        with Client(backend) as client:
            while not any(job.state == "running" for job in client.jobs()):
                time.sleep(0.05)
        Picture.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(cup)

    change = threading.Thread(target=change_it)
    change.start()
    arguments = ("--image", cup, "--point", 20, 30, "--seed", STEADY, "--out", tmp_path / "out")
    first = headless(*arguments)
    change.join()
    assert first.returncode == 0, first.stdout + first.stderr
    again = headless(*arguments, "--resume")
    assert "done before" not in again.stdout
    assert headless(*arguments, "--resume").stdout.count("1 of 1 done before") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--image", "CUP", "--point", "20", "30", "--seed", "-1", "--out", "OUT"], "seed"),
        (["nowhere.jsonl", "--out", "OUT"], "nowhere.jsonl cannot be read"),
        (["--out", "OUT"], "nothing to do"),
        (["--image", "CUP", "--point", "20", "30", "--backend", "/nowhere", "--out", "OUT"], "no Python at /nowhere"),
    ],
)
def test_what_is_wrong_is_one_line(
    headless: Headless, cup: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    places = {"CUP": str(cup), "OUT": str(tmp_path / "out")}
    done = headless(*(places.get(argument, argument) for argument in arguments))
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert says in line
    assert not list(tmp_path.rglob("*.blend"))
