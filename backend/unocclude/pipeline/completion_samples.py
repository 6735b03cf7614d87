"""Samples of the completion model, with the photograph's pixels kept where the object shows."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import disk
from torch import Tensor

from unocclude.models.memory import Passes, inference
from unocclude.models.pix2gestalt import Pix2Gestalt
from unocclude.models.samplers import DDIM, DPMSolver
from unocclude.pipeline.crop import cut, cut_mask
from unocclude.pipeline.resampling import by_lanczos
from unocclude.pipeline.types import Completion, Crop, Image, Mask, Progress, no_progress
from unocclude.protocol import SamplerName

LARGEST = 1024
"""Completions keep the photograph's resolution up to this many pixels a side."""
ALL_AROUND = 1 / 16
ACROSS_ROWS, ALONG_ROWS = 1 / 40, 1 / 5
"""How far colours of the visible part are carried on, in sides of the crop. Chosen on procedural scenes."""
KEPT_SHARE = 0.1
"""An imagined part that does not touch the visible one and is smaller than this share of it is a speck."""

RIM = 3 / 256
"""In sides of the crop: what is imagined beside the visible part and not twice as wide is no hidden part. Chosen
on procedural scenes."""

Floats = NDArray[np.float32]


def sample_completions(
    image: Image,
    visible: Mask,
    crop: Crop,
    model: Pix2Gestalt,
    *,
    samples: int,
    first: int = 0,
    steps: int,
    guidance: float,
    seed: int,
    temperature: float = 1.0,
    sampler: SamplerName = "fast",
    passes: Passes | None = None,
    progress: Progress = no_progress,
) -> list[Completion]:
    """Guesses at the whole object, each (S, S, 4) in the crop's frame, S = the crop's side within [256, 1024].

    They are the samples `first`, `first` + 1 and so on; number k depends on the frame, `seed` and k alone. `passes`:
    how many samples are denoised at once; all by default. `temperature`: see `Profile`.
    """
    device = model.projection.weight.device
    picture = _to_tensor(cut(image[..., :3], crop)).to(device)
    mask = _to_tensor(255 * cut_mask(visible, crop)[..., None].astype(np.uint8)).to(device)
    generators = [torch.Generator().manual_seed(seed * 1000 + k) for k in range(first, first + samples)]
    passes = passes or Passes(samples)
    steps_of = DDIM.pix2gestalt if sampler == "reference" else DPMSolver

    def noise(shape: tuple[int, ...]) -> Tensor:
        return temperature * torch.stack([torch.randn(shape[1:], generator=g) for g in generators]).to(device)

    def on_step(step: int, total: int, x0: Tensor) -> None:
        shown = step % 4 == 0 and step < total  # the last one is decoded anyway, and decoding costs as much as steps
        progress("complete", step, total, model.to_rgba(model.decode(x0[:1]))[0] if shown else None)

    with inference(model):
        condition = model.encode_condition(picture, mask).repeat(samples)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            def in_parts(at_once: int) -> Tensor:
                parts = zip(x.split(at_once), t.split(at_once), condition.split(at_once), strict=True)
                return torch.cat([model.guided(*part, guidance) for part in parts])

            return passes.run(in_parts).float()

        side = crop.size // 8
        latents = steps_of(model.schedule, steps).sample(denoise, (samples, 4, side, side), noise, on_step)
        imagined = np.concatenate([model.to_rgba(model.decode(z[None])) for z in latents])
    trust = model.config.colour_trust
    cleaned = (_without_rims(_without_specks(rgba, visible, crop), visible, crop) for rgba in imagined)
    return [Completion(_with_photograph(rgba, image, visible, crop, trust)) for rgba in cleaned]


def _without_specks(rgba: Image, visible: Mask, crop: Crop) -> Image:
    """Only the parts that touch the visible one, or are large."""
    labels, _ = ndimage.label(rgba[..., 3] > 127)
    seen = cut_mask(visible, crop)
    sizes = np.bincount(labels.ravel())
    kept = np.union1d(np.unique(labels[seen]), np.flatnonzero(sizes >= KEPT_SHARE * seen.sum()))
    solid = ndimage.binary_dilation(np.isin(labels, kept[kept > 0]), iterations=3)
    return np.dstack([rgba[..., :3], np.where(solid, rgba[..., 3], 0).astype(np.uint8)])


def _without_rims(rgba: Image, visible: Mask, crop: Crop) -> Image:
    """Where nothing hides it, the object ends where the visible part does: its outline there is the mask's.

    What is thin stays where it joins a hidden part, where it reaches out, as handles do, and between visible parts:
    twigs hide little more.
    """
    seen, drawn = cut_mask(visible, crop), rgba[..., 3] > 127
    wide = max(round(RIM * crop.size), 1)
    disc = disk(wide, dtype=bool)
    wider = ndimage.binary_dilation(ndimage.binary_opening(drawn & ~seen, disc), disc)
    # Padded, as closing would shrink what reaches the border.
    between = ndimage.binary_closing(np.pad(seen, wide), disc)[wide:-wide, wide:-wide]
    reach = disk(2 * wide, dtype=bool)
    reaching_out = ndimage.binary_dilation(drawn & ~ndimage.binary_dilation(seen, reach) & ~wider, reach)
    part = wider | between | reaching_out
    fading = 255 * ndimage.gaussian_filter(seen.astype(np.float32), 1)
    alpha = np.where(part, rgba[..., 3], np.minimum(rgba[..., 3], fading))
    return np.dstack([rgba[..., :3], alpha.astype(np.uint8)])


def _with_photograph(imagined: Image, image: Image, visible: Mask, crop: Crop, trust: float) -> Image:
    """The photograph's pixels where the object shows; elsewhere the imagined ones, shifted towards its colours.

    The shift is what the photograph and the imagined picture differ by in the visible part, carried on smoothly into
    the hidden part, so that no seam shows. Of the imagined colours a share of `trust` is taken; the rest is the
    photograph's, carried on along rows: what is printed on things that stand goes around them.
    """
    size = int(np.clip(crop.side, crop.size, LARGEST))
    fine = Crop(crop.left, crop.top, crop.side, size)
    photograph = cut(image[..., :3], fine).astype(np.float32)
    seen = cut_mask(visible, fine)
    drawn = by_lanczos(imagined, size, size).astype(np.float32)
    inside = _surely_seen(seen, drawn[..., 3] > 127)
    hidden = drawn[..., :3]
    # What is carried on is smooth, so that the size at which the network drew will do.
    colours = cut(image[..., :3], crop).astype(np.float32)
    known = _surely_seen(cut_mask(visible, crop), imagined[..., 3] > 127)
    if known.any():
        hidden = (hidden + _enlarged(_carried_around(colours - imagined[..., :3], known), size)).clip(0, 255)
        if trust < 1:
            hidden = trust * hidden + (1 - trust) * _enlarged(_carried_along_rows(colours, known), size)
    blend = ndimage.gaussian_filter(inside.astype(np.float32), size / 256)
    blend = np.maximum(blend, inside)[..., None] * (seen | inside)[..., None]
    colour = photograph * blend + hidden * (1 - blend)
    alpha = np.maximum(drawn[..., 3], 255.0 * seen)
    return np.round(np.dstack([colour, alpha])).astype(np.uint8)


def _surely_seen(seen: Mask, drawn: Mask) -> Mask:
    """The visible part without its rim, where the background shines in, and only where the object was drawn."""
    return np.asarray(ndimage.binary_erosion(seen, iterations=max(len(seen) // 128, 1)) & drawn)


def _carried_around(values: Floats, known: Mask) -> Floats:
    """(S, S, C) values where they are known, into all directions; far away they tend to their mean."""
    return _convolved(values, known, (ALL_AROUND, ALL_AROUND), values[known].mean(axis=0), 1e-3)


def _carried_along_rows(values: Floats, known: Mask) -> Floats:
    """(S, S, C) as `_carried_around`, but what the same rows tell counts first."""
    return _convolved(values, known, (ACROSS_ROWS, ALONG_ROWS), _carried_around(values, known), 0.02)


def _convolved(values: Floats, known: Mask, reach: tuple[float, float], elsewhere: Floats, faint: float) -> Floats:
    """Normalised convolution; `elsewhere` has a weight of `faint`. `reach`, down and to the side: shares of S."""
    weights, sigma = known.astype(np.float32), (reach[0] * len(known), reach[1] * len(known))
    total = ndimage.gaussian_filter(values * weights[..., None], (*sigma, 0))
    weight = ndimage.gaussian_filter(weights, sigma)[..., None]
    return np.asarray((total + faint * elsewhere) / (weight + faint), np.float32)


def _enlarged(values: Floats, size: int) -> Floats:
    return np.asarray(cv2.resize(values, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _to_tensor(picture: Image) -> Tensor:
    """(H, W, C) uint8 to (1, C, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float() / 127.5 - 1
