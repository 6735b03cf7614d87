"""A stand-in for the pipeline: quick, and it misbehaves on demand. The image's bytes say how.

`b"steps=20 pause=0.05"` is so many steps of so many seconds. Words: `crash` (the process ends), `crash-once`,
`segfault` (it dies in native code), `raise` (an error for people), `fault` (an error of the program), `deaf` (never
looks whether it was cancelled), `spin=4` (works for so many seconds without telling), `memory` (MemoryError),
`leak=50` (keeps so many MiB for good), `big` (leaves a file of 3 MiB).
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import numpy as np
from unocclude.errors import InputError
from unocclude.pipeline.types import Progress
from unocclude.protocol import JobSpec
from unocclude.server.uploads import Uploads

leaked: list[bytes] = []


def run_job(spec: JobSpec, uploads: Uploads, folder: Path, kept: Path, progress: Progress) -> None:
    words = uploads.image.decode().split()
    options = dict(word.split("=") for word in words if "=" in word)
    steps, pause = int(options.get("steps", 3)), float(options.get("pause", 0))
    home = folder.parent.parent
    (home / "worker.pid").write_text(str(os.getpid()))
    progress("segment", 1, 1)
    if "crash" in words:
        os._exit(3)
    if "segfault" in words:
        ctypes.string_at(0)
    if "crash-once" in words:
        marker = home / "crashed"
        if not marker.exists():
            marker.touch()
            os.abort()
    if "raise" in words:
        raise InputError("There is nothing at the point.", "Click on the object.")
    if "fault" in words:
        raise ZeroDivisionError("by accident")
    if "memory" in words:
        raise MemoryError
    leaked.append(b"x" * (int(options.get("leak", 0)) << 20))
    if "deaf" in words:
        time.sleep(600)
    until = time.monotonic() + float(options.get("spin", 0))
    while time.monotonic() < until:
        pass
    for step in range(steps):
        time.sleep(pause)
        shade = np.full((64, 64, 3), step % 256, np.uint8)
        progress("complete", step + 1, steps, shade if step % 2 else None)
    (folder / "views").mkdir()
    (folder / "views" / "000.png").write_bytes(uploads.image)
    (folder / "report.json").write_text(str(spec.seed))
    if uploads.mask is not None:
        (folder / "visible_mask.png").write_bytes(uploads.mask)
    if "big" in words:
        (folder / "mesh.glb").write_bytes(bytes(range(256)) * 4096 * 3)
