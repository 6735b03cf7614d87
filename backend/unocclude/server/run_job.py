"""What a worker runs for each job: the whole mission, from the files that came over the wire."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from unocclude.errors import InputError
from unocclude.pipeline.reconstruct import reconstruct
from unocclude.pipeline.types import Progress
from unocclude.protocol import JobSpec


def run_job(spec: JobSpec, image: bytes, mask: bytes | None, folder: Path, progress: Progress) -> None:
    """Reconstruct into `folder`. Raises InputError where a file is no picture, and what `reconstruct`
    raises."""
    reconstruct(
        _open(image, "image"),
        spec,
        folder,
        mask=None if mask is None else np.asarray(_open(mask, "mask").convert("L")) > 127,
        progress=progress,
    )


def _open(file: bytes, what: str) -> Picture.Image:
    try:
        picture = Picture.open(io.BytesIO(file))
        picture.load()
    except (OSError, ValueError, SyntaxError, Picture.DecompressionBombError) as error:
        raise InputError(f"The {what} cannot be read as a picture ({error}).", "Use a PNG or a JPEG.") from error
    return picture
