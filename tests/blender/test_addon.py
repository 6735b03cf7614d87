"""The packages in real Blenders: installed from the zip, enabled, used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Picture


def test_registration_leaves_nothing_behind(run: Callable, dist: Path) -> None:
    run("registration.py", dist)


def test_whole_job(run: Callable, dist: Path, backend: Path, tmp_path: Path) -> None:
    received = tmp_path / "received"
    run("whole_job.py", dist, received)
    assert _pixels(received).shape == (40, 60, 3)


def test_backend_life(run: Callable, dist: Path) -> None:
    run("backend_life.py", dist, sys.executable)


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
