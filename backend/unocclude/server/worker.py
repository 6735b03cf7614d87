"""The worker process: owns the device, runs one job after the other, keeps the models warm between them.

Started by the broker as `python -m unocclude.server.worker`, see orders.py.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from unocclude.checks import a_list, an_object, number, or_none, text, whole
from unocclude.errors import Cancelled, UnoccludeError
from unocclude.protocol import (
    PROGRESS,
    JobSpec,
    Shape,
    decode,
    encode,
    error_to_json,
    is_artifact_name,
    is_job_id,
    make_error,
)
from unocclude.server.blobs import WORK_FOLDER, BlobStore
from unocclude.server.orders import Orders
from unocclude.server.uploads import Uploads

if TYPE_CHECKING:  # the broker imports this module too, and has no use for numpy
    from unocclude.pipeline.types import Image, Progress

RunJob = Callable[[JobSpec, Uploads, Path, Path, "Progress"], None]
"""Writes the files of a job into its folder: (spec, image file, mask file or None, completion file or None, folder,
kept, progress).

`kept` is the folder of the stages' results, which later jobs may use.
"""
STAGES_FOLDER = "stages"
"""In the home folder."""

PROGRESS_INTERVAL = 0.1
PREVIEW_INTERVAL = 0.5
"""Seconds; what comes faster is not sent, except a stage's last step."""
PULSE_INTERVAL = 2.0
"""Seconds between two notes of how much the process has worked."""
PREVIEW_SIZE = 512
"""Pixels of a preview's longer side, at most."""

_JOB = {"job": is_job_id}
_DIGEST = text(r"[0-9a-f]{64}")
_BYTES = whole(0, 2**63 - 1)
ORDERS: dict[str, Shape] = {
    "run": Shape(
        {**_JOB, "spec": an_object, "image": _DIGEST, "mask": or_none(_DIGEST), "completion": or_none(_DIGEST)}
    ),
    "cancel": Shape(_JOB),
}
REPORTS: dict[str, Shape] = {
    "ready": Shape({}),
    "pulse": Shape({"cpu": number(0, 1e12)}),
    "progress": Shape({**_JOB, **PROGRESS}, (0, 1)),
    "done": Shape({**_JOB, "memory": _BYTES, "artifacts": a_list}),
    "failed": Shape({**_JOB, "memory": _BYTES, "error": an_object}),
}


class Reporter:
    """The `Progress` of a job: tells the broker, and hears from it whether to stop."""

    def __init__(self, socket: zmq.Socket[Any], job: str) -> None:
        self._socket = socket
        self._job = job
        self._stage = ""
        self._told = self._shown = 0.0

    def __call__(self, stage: str, step: int, total: int, preview: Image | None = None) -> None:
        self._stop_if_told()
        now = time.monotonic()
        turn = stage != self._stage or step >= total
        self._stage = stage
        show = preview is not None and (turn or now - self._shown >= PREVIEW_INTERVAL)
        if not (turn or show or now - self._told >= PROGRESS_INTERVAL):
            return
        self._told = now
        blobs = []
        if preview is not None and show:
            self._shown = now
            blobs.append(encode_preview(preview))
        fields = {"job": self._job, "stage": stage, "step": int(step), "total": int(total)}
        with suppress(zmq.Again):  # the broker is busy; the next progress tells more than this one
            self._socket.send_multipart(encode("progress", fields, blobs), zmq.DONTWAIT)

    def _stop_if_told(self) -> None:
        while self._socket.poll(0):
            order = decode(self._socket.recv_multipart(), ORDERS)
            if order.type == "cancel" and order.fields["job"] == self._job:
                raise Cancelled("The job was cancelled.")


def encode_preview(preview: Image) -> bytes:
    """(H, W, 3 or 4) uint8 to a PNG file."""
    from PIL import Image as Picture

    picture = Picture.fromarray(preview)
    picture.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def pulse_name(worker: str) -> str:
    """The name under which a worker's pulse comes."""
    return f"{worker}-pulse"


def send_pulse(orders: Orders) -> None:
    """Tell the broker for ever how much processor time this process has used: what works is slow, what does not hangs.

    Runs in a thread of its own, and stays silent while native code holds the interpreter.
    """
    socket = orders.connect(pulse_name(orders.name))
    while True:
        with suppress(zmq.Again):
            socket.send_multipart(encode("pulse", {"cpu": time.process_time()}), zmq.DONTWAIT)
        time.sleep(PULSE_INTERVAL)


def work(orders: Orders) -> None:
    """Run jobs until the broker goes."""
    threading.Thread(target=send_pulse, args=(orders,), daemon=True).start()
    run_job: RunJob = orders.load_runner()
    home = Path(orders.home)
    blobs = BlobStore(home)
    socket = orders.connect()
    socket.send_multipart(encode("ready", {}))
    while True:
        order = decode(socket.recv_multipart(), ORDERS)
        if order.type != "run":
            continue  # a cancel that came too late
        job = order.fields["job"]
        folder = Path(tempfile.mkdtemp(prefix=f"{job}-", dir=home / WORK_FOLDER))
        try:
            given = {name: order.fields[name] for name in ("image", "mask", "completion")}
            uploads = Uploads(**{name: blobs.read(digest) for name, digest in given.items() if digest is not None})
            spec = JobSpec.from_json(order.fields["spec"])
            run_job(spec, uploads, folder, home / STAGES_FOLDER, Reporter(socket, job))
            outcome: tuple[str, dict[str, Any]] = "done", {"artifacts": collect(folder, blobs)}
        except Exception as error:
            if not isinstance(error, UnoccludeError):
                traceback.print_exc()
            outcome = "failed", {"error": error_to_json(honest(error))}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        socket.send_multipart(encode(outcome[0], {"job": job, "memory": resident_memory(), **outcome[1]}))


def collect(folder: Path, blobs: BlobStore) -> list[dict[str, Any]]:
    """Move every file of the folder into the store; name, size and sha256 of each."""
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if not is_artifact_name(name):
            raise ValueError(f"the job left a file with the name {name!r}, which cannot travel")
        digest, size = blobs.take(file)
        found.append({"name": name, "size": size, "sha256": digest})
    return found


def resident_memory() -> int:
    """Bytes that this process keeps; 0 where the system does not tell simply, as Linux does."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError):
        return 0


def honest(error: Exception) -> UnoccludeError:
    """The error as the artist should read it."""
    if isinstance(error, UnoccludeError):
        return error
    what = f"{type(error).__name__}: {error}"[:1000]
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return make_error(
            "out_of_memory",
            f"The memory did not suffice ({what}).",
            "Close other programs or use --device cpu.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        return make_error("storage", f"The results cannot be written ({error}).", "Make room on the disk.")
    return make_error("internal", f"The job failed ({what}).", "See the worker's log in the backend's home folder.")


if __name__ == "__main__":
    work(Orders.take())
