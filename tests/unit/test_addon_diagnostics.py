"""What goes into a bug report, and what must not."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

import pytest

from addon.core.diagnostics import LINES, LONGEST, redacted, report

KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNOCCLUDE_HOME", str(tmp_path))
    return tmp_path


def test_facts_and_the_ends_of_the_logs(home: Path) -> None:
    (home / "serve.out").write_text("\n".join(f"line {number}" for number in range(1000)))
    text = report({"Blender": "4.5.0"})
    assert "Blender: 4.5.0" in text
    assert "installed: nothing" in text
    assert "line 999" in text
    assert f"line {1000 - LINES - 1}\n" not in text
    assert len(text) <= LONGEST


def test_private_things_are_left_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "maria")
    monkeypatch.setattr(socket, "gethostname", lambda: "workstation")
    secret = "hf_" + "x" * 20
    (home / "serve.out").write_text(
        f'{Path.home()}/pictures by maria on workstation, {{"secret_key": "{KEY}"}} {secret} https://me:pass@host/simple'
    )
    text = report({})
    for private in (str(Path.home()), "maria", "workstation", KEY, secret, "me:pass"):
        assert private not in text
    assert "~/pictures by USER on COMPUTER" in text
    assert "https://host/simple" in text


def test_words_that_only_contain_the_name_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "run")
    assert redacted("running run.py as run") == "running run.py as USER"
