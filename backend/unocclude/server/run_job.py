"""What a worker runs for each job: the whole mission, from the files that came over the wire."""

from __future__ import annotations

import functools
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image as PilImage

from unocclude.errors import InputError
from unocclude.models.profiles import Models, pick_device
from unocclude.pipeline import inputs
from unocclude.pipeline.reconstruct import reconstruct
from unocclude.pipeline.types import Progress
from unocclude.protocol import JobSpec
from unocclude.server.commands import WEIGHTS


def run_job(spec: JobSpec, image: bytes, mask: bytes | None, folder: Path, progress: Progress) -> None:
    """Reconstruct into `folder`. Raises InputError where a file is no picture, and what `reconstruct` raises."""
    reconstruct(
        inputs.as_image(_opened(image, "image")),
        spec,
        folder,
        _models(spec.profile, spec.device),
        None if mask is None else np.asarray(_opened(mask, "mask").convert("L")) > 127,
        progress,
    )


@functools.lru_cache(maxsize=1)
def _models(profile: str, device: str) -> Models:
    """Kept from job to job, so that the networks stay loaded."""
    folder = os.environ.get(WEIGHTS)
    return Models(profile, pick_device(device), Path(folder) if folder else None)


def _opened(file: bytes, what: str) -> PilImage.Image:
    try:
        picture = PilImage.open(io.BytesIO(file))
        picture.load()
    except PilImage.DecompressionBombError as error:
        raise InputError(f"The {what} has too many pixels ({error}).", "Scale it down.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"The {what} cannot be read as a picture ({error}).", "Use a PNG or a JPEG.") from error
    return picture
