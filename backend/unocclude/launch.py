"""Start the backend as a process of its own. The add-on uses it too: standard library and `client` only."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from .client import Client
from .connection import Connection, home_folder
from .errors import ServerUnavailableError, UnoccludeError


def start_backend(
    python: Path | str,
    home: Path | None = None,
    wait: float = 60.0,
    runner: str | None = None,
    segmenter: str | None = None,
) -> str:
    """Start the backend with this Python, which has it installed; return its endpoint when it answers.

    Does nothing where one answers already. The backend outlives this process. Raises ServerUnavailableError,
    with the end of what the backend said, where it does not come up within `wait` seconds.
    """
    home = (home or home_folder()).absolute()
    endpoint = _answering(home)
    if endpoint:
        return endpoint
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    said = home / "serve.out"
    # Blender points these at its own Python; the backend's is another one.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    options = {"--runner": runner, "--segmenter": segmenter}
    chosen = (word for name, value in options.items() if value for word in (name, value))
    command = [str(python), "-m", "unocclude.server", *chosen]
    try:
        with said.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=home,
                env={**environment, "UNOCCLUDE_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
                | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
    except OSError as error:
        raise ServerUnavailableError(f"{python} cannot be started ({error}).", "Choose the backend's Python.") from None
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        endpoint = _answering(home)
        if endpoint:
            return endpoint
        if ended:
            raise ServerUnavailableError(
                f"The backend ended at its start: {_tail(said)}",
                f"Try `{python} -m unocclude.server` in a terminal.",
            )
        time.sleep(0.1)
    process.kill()
    raise ServerUnavailableError(f"The backend did not start within {wait:g} s: {_tail(said)}", f"See {said}.")


def _answering(home: Path) -> str | None:
    try:
        endpoint = Connection.load(home).endpoint
        with Client(home, timeout=10.0, patience=1.0) as client:
            client.ping()
    except UnoccludeError:
        return None
    return endpoint


def _tail(path: Path) -> str:
    return (
        " / ".join(path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]) or "it said nothing."
    )
