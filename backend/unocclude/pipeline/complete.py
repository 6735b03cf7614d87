"""Imagining the whole object, in a frame that holds it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unocclude.models.memory import Passes
from unocclude.models.pix2gestalt import Pix2Gestalt
from unocclude.pipeline.completion_samples import sample_completions
from unocclude.pipeline.crop import crop_around, inside, uncut
from unocclude.pipeline.types import Completion, Completions, Crop, Image, Mask, Progress, no_progress
from unocclude.protocol import SamplerName

ATTEMPTS = 3
"""So many frames at most."""
CUT_OFF = 0.03
"""The object runs out of a frame where it takes more than this share of one side's length along its border."""


def complete(
    image: Image,
    visible: Mask,
    crop: Crop | None,
    model: Pix2Gestalt,
    *,
    samples: int,
    steps: int,
    guidance: float,
    seed: int,
    temperature: float = 1.0,
    sampler: SamplerName = "fast",
    passes: Passes | None = None,
    progress: Progress = no_progress,
) -> Completions:
    """Guesses at the whole object, see `sample_completions`, in `crop` or else in one that is found.

    That is the square about the visible part, or, where the first sample runs out of it (most of the object is hidden,
    or the mask lacks a piece), one about what that sample imagined. As sample 0 alone decides, asking for more keeps
    the samples that were there. Raises InputError for an empty mask.
    """
    done, planned = 0, min(samples, 2)

    def attempt(crop: Crop, first: int, count: int) -> list[Completion]:
        nonlocal done
        before, done = done, done + 1

        def watch(stage: str, step: int, total: int, preview: Image | None = None) -> None:
            progress(stage, before * total + step, planned * total, preview)

        return sample_completions(
            image,
            visible,
            crop,
            model,
            samples=count,
            first=first,
            steps=steps,
            guidance=guidance,
            seed=seed,
            temperature=temperature,
            sampler=sampler,
            passes=passes,
            progress=watch,
        )

    given, crop = crop is not None, crop or crop_around(visible)
    found = attempt(crop, 0, 1)
    while not given and done < ATTEMPTS and _cut_off(found[0], crop, visible.shape):
        planned += 1
        crop = crop_around(visible | _in_image(found[0], crop, visible.shape))
        found = attempt(crop, 0, 1)
    if samples > 1:
        found += attempt(crop, 1, samples - 1)
    return Completions(found, crop)


def amodal_mask(completions: Sequence[Completion], visible: Mask, crop: Crop) -> Mask:
    """(H, W): where at least half of the samples see the object, and all that is visible anyway."""
    votes = sum(_in_image(c, crop, visible.shape).astype(int) for c in completions)
    return np.asarray(2 * votes >= len(completions)) | visible


def most_agreed(completions: Sequence[Completion], amodal: Mask, crop: Crop) -> int:
    """The sample whose silhouette is closest (IoU) to the vote."""
    masks = [_in_image(c, crop, amodal.shape) for c in completions]
    return int(np.argmax([(m & amodal).sum() / max((m | amodal).sum(), 1) for m in masks]))


def _in_image(completion: Completion, crop: Crop, shape: tuple[int, int]) -> Mask:
    """(H, W): the sample's amodal mask, as far as it lies in the image."""
    return uncut(255 * completion.mask.astype(np.uint8), crop, shape) > 127


def _cut_off(completion: Completion, crop: Crop, shape: tuple[int, int]) -> bool:
    """Whether the imagined object goes on beyond the frame, where there still is image."""
    rim = max(crop.side // 64, 1)
    within = Crop(crop.left + rim, crop.top + rim, crop.side - 2 * rim)
    at_the_rim = _in_image(completion, crop, shape) & inside(crop, shape) & ~inside(within, shape)
    return bool(at_the_rim.sum() > CUT_OFF * rim * crop.side)
