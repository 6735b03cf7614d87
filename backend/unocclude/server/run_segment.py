"""What the segmenter process runs for each new image: decode it, encode it, be ready for clicks."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import torch

from unocclude.devices import pick_device
from unocclude.models.profiles import Models
from unocclude.pipeline.inputs import as_image, check_prompt, open_upload
from unocclude.pipeline.segment import Segmenter
from unocclude.pipeline.types import Mask, Prompt
from unocclude.server.commands import WEIGHTS
from unocclude.server.segmenter import Ask


def embed(file: bytes, profile: str) -> Ask:
    """Raises InputError where the file is no usable picture, ModelsMissingError without the profile's weights."""
    image = as_image(open_upload(file, "image"))
    embedded = _segmenter(profile).embed(image)
    height, width = embedded.image_size

    def ask(prompt: Prompt) -> tuple[Mask, float]:
        check_prompt(prompt, width, height)
        return embedded.rated_mask(prompt)

    return ask


@lru_cache(maxsize=1)
def _segmenter(profile: str) -> Segmenter:
    # The bundled network is quick on the CPU, which leaves the GPU to the worker; SAM itself is not.
    device = pick_device("cpu" if profile == "bundled" else "auto")
    if device.type == "cpu" and profile == "bundled":
        torch.set_num_threads(1)  # more gain nothing at this size, and wait for each other while a job runs
    weights = os.environ.get(WEIGHTS)
    return Segmenter(Models(profile, device, Path(weights) if weights else None).segmenter(), device)
