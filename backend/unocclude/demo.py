"""The demo: the bundled sample through a real backend, from start to stop."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path

from unocclude.client import Client
from unocclude.launch import start_backend
from unocclude.progress_bars import ProgressBars
from unocclude.protocol import Event, JobSpec


def demo(out: Path) -> None:
    """Starts a backend if none runs, sends it the sample picture, follows the job and fetches its files into `out`."""
    bundled = resources.files("unocclude") / "bundled"
    image = (bundled / "sample.png").read_bytes()
    prompt = json.loads((bundled / "sample.json").read_text())
    running = _running()
    print("Using the backend that runs already." if running else "Starting a backend …", flush=True)
    if not running:
        start_backend(Path(sys.executable))
    with Client() as client:
        try:
            job = client.submit(JobSpec.from_json({"prompt": prompt, "preset": "fast"}), image)
            with ProgressBars() as bars:

                def show(event: Event) -> None:
                    if event.stage and event.total:
                        bars(event.stage, event.step, event.total)

                client.wait(job, show)
            client.fetch(job, out)
        finally:
            if not running:
                client.stop()
    print(f"Done. Look at {out / 'overview.png'}; the mesh is {out / 'mesh.glb'}.")


def _running() -> bool:
    from unocclude.errors import ServerUnavailableError

    try:
        with Client(patience=1) as client:
            client.ping()
        return True
    except ServerUnavailableError:
        return False
