"""Four quick stages whose results are kept as the real ones are. The image's bytes are the seconds of each stage.

Each stage that begins and each that has been kept leaves a line in `stages.log` of the home folder.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from unocclude.pipeline.stage_store import StageStore
from unocclude.pipeline.types import Progress
from unocclude.protocol import STAGES, JobSpec
from unocclude.server.uploads import Uploads

STEPS = 4
SIZE = 20_000


def run_job(spec: JobSpec, uploads: Uploads, folder: Path, kept: Path, progress: Progress) -> None:
    home = folder.parent.parent
    (home / "worker.pid").write_text(str(os.getpid()))
    store = StageStore(kept)
    for stage, result in zip(STAGES, results(spec, uploads.image), strict=True):
        key = hashlib.sha256(result.tobytes()).hexdigest()
        value = store.load(key, NDArray[np.uint8])
        if value is None:
            _note(home, f"begin {key}")
            for step in range(STEPS):
                time.sleep(float(uploads.image) / STEPS)
                progress(stage, step + 1, STEPS)
            value = result
            store.save(key, value)
            _note(home, f"kept {key}")
        (folder / f"{stage}.bin").write_bytes(value.tobytes())


def results(spec: JobSpec, image: bytes) -> list[NDArray[np.uint8]]:
    """What each stage gives: the first for the image alone, the others for the seed too."""
    seeds = [f"{image.decode()} {stage} {0 if stage == 'segment' else spec.seed}" for stage in STAGES]
    return [np.random.default_rng(list(seed.encode())).integers(0, 256, SIZE, np.uint8) for seed in seeds]


def _note(home: Path, line: str) -> None:
    descriptor = os.open(home / "stages.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)
