"""What a worker runs for each job: the whole mission, from the files that came over the wire."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from unocclude.devices import pick_device
from unocclude.models.profiles import Models
from unocclude.pipeline.inputs import as_image, open_upload
from unocclude.pipeline.reconstruct import reconstruct
from unocclude.pipeline.types import Progress
from unocclude.protocol import JobSpec
from unocclude.server.commands import WEIGHTS
from unocclude.server.uploads import Uploads


def run_job(spec: JobSpec, uploads: Uploads, folder: Path, kept: Path, progress: Progress) -> None:
    """Reconstruct into `folder`. Raises InputError where a file is no picture, and what `reconstruct` raises."""
    visible = whole = None
    if uploads.mask is not None:
        visible = np.asarray(open_upload(uploads.mask, "mask").convert("L")) > 127
    if uploads.completion is not None:
        whole = np.asarray(open_upload(uploads.completion, "completion").convert("RGBA"))
    picture = as_image(open_upload(uploads.image, "image"))
    reconstruct(picture, spec, folder, _models(spec.profile, spec.device), visible, progress, kept, whole)


@lru_cache(maxsize=1)
def _models(profile: str, device: str) -> Models:
    """Kept between jobs, so that the next one starts at once."""
    weights = os.environ.get(WEIGHTS)
    return Models(profile, pick_device(device), Path(weights) if weights else None)
