"""`unocclude doctor` tells which weights are here."""

from __future__ import annotations

from pathlib import Path

import pytest
from unocclude.cli import main


def test_official_weights_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNOCCLUDE_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "sam_vit_h_4b8939.pth").touch()
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert f"official, 1 of 3 files in {tmp_path / 'weights'}; get the rest" in said
