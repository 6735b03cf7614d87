"""`unocclude bench` on the small profile; the official one is the same code with other widths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from unocclude import bench
from unocclude.cli import main


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "STAGES", {"views": bench.STAGES["views"]})
    assert main(["bench", "bundled", "--random-weights", "--device", "cpu", "--out", str(tmp_path)]) == 0
    (row,) = json.loads((tmp_path / "bench.json").read_text())
    assert row["parameters"] > 0.5
    assert row["peak"] > 50
    assert min(row["seconds"].values()) > 0
    assert (tmp_path / "bench.md").read_text().count("|\n") == 2 + len(row["seconds"])
    assert "a guided step of a view" in capsys.readouterr().out


@pytest.mark.parametrize("stage", bench.STAGES)
def test_every_stage_is_measured(stage: str) -> None:
    for whole in (False, True):
        seconds = bench.measure(stage, "bundled", "cpu", whole).seconds
        assert min(seconds.values()) > 0
    assert any("steps" in part for part in seconds) == (stage != "segment")


def test_unknown_profiles_are_refused() -> None:
    assert main(["bench", "gigantic", "--random-weights"]) == 2
