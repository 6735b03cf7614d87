"""`unocclude evaluate elevation` on a folder of one made-up object."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from unocclude.cli import main
from unocclude.evaluation.elevation import Row, _figures


def made_up(folder: Path) -> None:
    rows, columns = np.mgrid[:128, :128]
    disc = (rows - 64) ** 2 + (columns - 64) ** 2 < 40**2
    rgba = np.dstack([np.full((128, 128, 3), 90, np.uint8), 255 * disc.astype(np.uint8)])
    scene = folder / "objects" / "ball" / "scene_0"
    scene.mkdir(parents=True)
    Image.fromarray(rgba).save(scene.parent / "whole.png")
    Image.fromarray(rgba[..., :3]).save(scene / "scene.png")
    Image.fromarray(255 * (disc & (columns < 70)).astype(np.uint8)).save(scene / "visible_mask.png")
    (scene.parent / "meta.json").write_text(json.dumps({"camera": {"elevation_deg": 20.0}}))


def test_estimates_are_compared_with_the_truth(tmp_path: Path) -> None:
    made_up(tmp_path)
    assert main(["evaluate", "elevation", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    table = json.loads((tmp_path / "out" / "elevation.json").read_text())
    (row,) = table["rows"]
    assert row["true"] == 20
    assert len(row["completed"]) == 1
    assert table["degrees"]["whole mean"] == pytest.approx(abs(row["whole"] - 20))


def test_errors_are_absolute_and_means_are_means() -> None:
    figures = _figures([Row("a", 10, 13, (10, 12)), Row("b", 20, 15, (26,)), Row("c", 30, 30, ())])
    assert figures["whole mean"] == pytest.approx(8 / 3)
    assert figures["whole median"] == 3
    assert figures["completed mean"] == pytest.approx(8 / 3)
    assert figures["constant guess mean"] == pytest.approx(20 / 3)


def test_a_folder_without_objects_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "elevation", "--data", str(tmp_path)]) == 2
    assert "objects/NAME/meta.json" in capsys.readouterr().err
