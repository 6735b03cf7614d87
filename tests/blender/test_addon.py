"""The packages in real Blenders: installed from the zip, enabled, used."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from real_blenders import HERE
from small_models import content
from unocclude.client import Client
from unocclude.connection import Connection
from unocclude.models.registry import NEEDED

sys.path += [str(Path(__file__).resolve().parents[1] / ring) for ring in ("install", "unit")]
from shaky_server import ShakyServer
from wheels import write_packages


def test_registration_leaves_nothing_behind(run: Callable, dist: Path) -> None:
    run("registration.py", dist)


def test_whole_job(run: Callable, dist: Path, backend: Path, tmp_path: Path) -> None:
    received = tmp_path / "received"
    run("whole_job.py", dist, received)
    assert _pixels(received).shape == (40, 60, 3)


def test_backend_life(run: Callable, dist: Path) -> None:
    run("backend_life.py", dist, sys.executable)


def test_placing(run: Callable, dist: Path, backend: Path, tmp_path: Path) -> None:
    """The rendered silhouette is the one that the photograph shows."""
    run("placing.py", dist, tmp_path)
    for rendered in ("wide", "tall"):
        alpha = np.asarray(Picture.open(tmp_path / f"{rendered}.png"))[..., 3] > 127
        shown = np.asarray(Picture.open(tmp_path / "amodal_mask.png")) > 127
        scale = min(alpha.shape[0] / shown.shape[0], alpha.shape[1] / shown.shape[1])
        height, width = (round(side * scale) for side in shown.shape)
        top, left = (alpha.shape[0] - height) // 2, (alpha.shape[1] - width) // 2
        seen = alpha[top : top + height, left : left + width]
        expected = np.asarray(Picture.fromarray(shown).resize((width, height)))
        assert (seen & expected).sum() / (seen | expected).sum() > 0.93, rendered


def test_masks_of_clicks(run: Callable, dist: Path, backend: Path) -> None:
    run("clicking.py", dist)


def test_masks_start_the_backend(run: Callable, dist: Path, user: Path) -> None:
    """The real one, which says that there is nothing in a picture of nothing, or what there is."""
    (user / "backend").mkdir()
    (user / "backend" / "python.txt").write_text(sys.executable)
    run("first_click.py", dist)
    with Client(user / "backend", patience=0) as client:
        client.stop()


def test_choosing_a_completion(run: Callable, dist: Path, backend: Path) -> None:
    run("choosing.py", dist)


def test_painting_on_the_mask(run: Callable, dist: Path, backend: Path) -> None:
    run("brushing.py", dist)


def test_several_jobs_wait_for_their_turn(run: Callable, dist: Path, backend: Path) -> None:
    run("queueing.py", dist)


def test_errors_with_their_cures(run: Callable, dist: Path, backend: Path) -> None:
    run("cures.py", dist)


def test_jobs_of_before(run: Callable, dist: Path, backend: Path) -> None:
    """Blender ends while a job runs; the next Blender follows it, and brings in what was done long before."""
    run("before.py", dist)
    run("after.py", dist)


def test_installing_the_backend(run: Callable, dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    run("installing.py", dist, write_packages(tmp_path / "packages"))


def test_a_backend_on_another_machine(
    run: Callable, dist: Path, backend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = tmp_path / "other" / "connection.json"
    connection.parent.mkdir()
    clients = [sys.executable, "-m", "unocclude", "clients"]
    pair = ["pair", "studio", "--endpoint", Connection.load(backend).endpoint, "--out", str(connection)]
    subprocess.run([*clients, *pair], check=True)
    monkeypatch.setenv("UNOCCLUDE_HOME", str(tmp_path / "own"))
    run("paired.py", dist, connection, f"UNOCCLUDE_HOME={backend} {shlex.join([*clients, 'revoke', 'studio'])}")


def test_downloading_models(
    run: Callable, dist: Path, user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a server that stalls first, goes on where it stopped, and has the last file under another address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "small_models.py"}" "$@"\n')
    python.chmod(0o755)
    segment, complete, views = (file.name for file in NEEDED)
    server = ShakyServer({name: content(name) for name in (segment, complete)} | {f"moved/{views}": content(views)})
    server.misbehave = ["stall"]
    try:
        run("models.py", dist, python, server.address)
    finally:
        server.close()
    assert server.ranges[1] == "bytes=1000-", "what had come was fetched again"


def test_disturbances(run: Callable, dist: Path, backend: Path) -> None:
    run("disturbances.py", dist)


def test_pictures(run: Callable, dist: Path, tmp_path: Path) -> None:
    photograph = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)
    Picture.fromarray(photograph).save(tmp_path / "photograph.jpg")
    run("pictures.py", dist, tmp_path)

    generated = _pixels(tmp_path / "generated.png")
    assert generated.shape == (40, 60, 3)
    assert generated[0, 0].tolist() == [0, 255, 51], "the top left pixel, so the rows are the right way up"
    changed = _pixels(tmp_path / "changed.png")
    assert changed[-1, 0].tolist() == [255, 255, 255]
    assert np.array_equal(changed[:-1], generated[:-1])
    assert _pixels(tmp_path / "linear.png").tolist() == [[[127, 127, 127], [255, 0, 0]]]


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Picture.open(path).convert("RGB"))
