"""A report of what went wrong, to paste into a bug report: facts and the ends of the logs, nothing that is private."""

from __future__ import annotations

import getpass
import platform
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from ..wire.connection import home_folder
from ..wire.installation import Installed, log_file
from .backend import installation_folder

LINES = 40
"""Of each log, from its end."""
LONGEST = 20_000
"""Characters: what a bug tracker takes easily."""


def report(facts: Mapping[str, object]) -> str:
    """`facts` are what only Blender knows."""
    installed = Installed.load(installation_folder())
    known = {
        **facts,
        "system": platform.platform(),
        "Python": platform.python_version(),
        "installed": "nothing" if installed is None else f"{installed.version}, torch for {installed.build}",
    }
    logs = [log_file(installation_folder()), home_folder() / "serve.out", *sorted(home_folder().glob("*.log"))]
    parts = ["\n".join(f"{name}: {value}" for name, value in known.items())]
    parts += [f"--- {path.name}\n{_end_of(path)}" for path in logs if path.is_file()]
    return redacted("\n\n".join(parts))[:LONGEST]


def redacted(text: str) -> str:
    """Without keys, and without the names of the user, the home folder and the computer."""
    text = re.sub(r'("(?:\w*_key|token)": ?")[^"]*', r"\1…", text)
    text = re.sub(r"(?<=://)[^/@\s]+@", "", text)  # passwords of mirrors and proxies
    text = re.sub(r"\b(?:hf|ghp|sk)_\w{8,}", "…", text)
    text = text.replace(str(Path.home()), "~")
    for name, mark in ((_user(), "USER"), (socket.gethostname(), "COMPUTER")):
        if len(name) > 2:
            text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", mark, text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # what it raises where nobody is known depends on the system
        return ""


def _end_of(path: Path) -> str:
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:])
    except OSError as error:
        return f"cannot be read ({error.strerror})"
