"""What jobs made, as images of the open file: packed, so that they are saved with it."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.types import Image

from .core.job import Job


def keep_results(job: Job) -> list[Image]:
    """The completions, the masks and the views of a job that has imagined something."""
    assert job.imagined is not None
    folder = job.completion().parent
    files = {f"completion {n}": path for n, path in enumerate(job.imagined.pictures, 1)}
    files |= {"visible mask": folder / "visible_mask.png", "whole mask": folder / "amodal_mask.png"}
    files |= {f"view {n:02d}": path for n, path in enumerate(job.imagined.views)}
    return [_image(path, f"{_stem(job.picture)} {name}") for name, path in files.items() if path.is_file()]


def completion_to_paint(job: Job, number: int) -> Image:
    """A completion as an image of its own, which tells where it comes from."""
    image = _image(job.completion(number), f"{_stem(job.picture)} painted completion")
    image.unocclude.source = job.source.to_text()
    return image


def _image(path: Path, name: str) -> Image:
    image = bpy.data.images.load(str(path))
    image.name = name
    image.pack()
    image.filepath_raw = f"//{image.name}.png"  # not where it was for a moment
    image.use_fake_user = True
    return image


def _stem(picture: str) -> str:
    return picture.rpartition(".")[0] or picture
