"""The connection file: for its user alone, whole or not there, and where platformdirs would put it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from unocclude.connection import Connection, home_folder
from unocclude.errors import ServerUnavailableError

CONNECTION = Connection("tcp://127.0.0.1:1", "s" * 40, "p" * 40, "q" * 40, 1)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    CONNECTION.save(tmp_path / "home")
    assert Connection.load(tmp_path / "home") == CONNECTION
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["connection.json"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such file modes")
def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    CONNECTION.save(tmp_path / "home")
    assert stat.S_IMODE(Connection.path(tmp_path / "home").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"endpoint": "tcp://127.0.0.1:1"}', "\x00"])
def test_a_damaged_file_is_said_with_the_cure(tmp_path: Path, text: str) -> None:
    Connection.path(tmp_path).write_text(text)
    with pytest.raises(ServerUnavailableError) as caught:
        Connection.load(tmp_path)
    assert "start it again" in caught.value.cure


def test_home_is_the_variable_or_the_users_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNOCCLUDE_HOME", str(tmp_path))
    assert home_folder() == tmp_path
    monkeypatch.delenv("UNOCCLUDE_HOME")
    platformdirs = pytest.importorskip("platformdirs")
    assert home_folder() == Path(platformdirs.user_state_dir("unocclude", appauthor=False))
    if os.name == "posix":
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        assert home_folder() == Path(platformdirs.user_state_dir("unocclude", appauthor=False))
