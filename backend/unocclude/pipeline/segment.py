"""From a prompt to the mask of what is seen of the object.

An image is encoded once; each prompt after that costs only the decoder. Networks that see little of a large image look
again, at the part where they found the object.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from unocclude.errors import InputError
from unocclude.models.segmenter import PromptableSegmenter
from unocclude.pipeline.look import Bounds, Look, bounds_of, look
from unocclude.pipeline.types import Image, Mask, Prompt

CONTEXT = 1.25
"""Side of a second look's window, at least, by the object's. Chosen on procedural scenes."""
CLOSER_LOOKS = 3
"""So many at most, where what is found runs out of the window."""
RUNS_OUT = 0.03
"""Share of one of the window's sides, at least, along which what is found touches it where it goes on beyond."""
NEAR_ENOUGH = 0.9
"""Of the image's longer side: a window larger than this would show nothing new."""
SMALLEST_WINDOW = 64
"""Pixels a side; smaller ones have no more to show."""

Window = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the image."""


def segment(image: Image, prompt: Prompt, model: PromptableSegmenter, device: torch.device) -> Mask:
    """(H, W) of the visible part. Raises InputError where the prompt finds nothing."""
    return Segmenter(model, device).embed(image).mask(prompt)


class Segmenter:
    """The segmentation stage on one device."""

    def __init__(self, model: PromptableSegmenter, device: torch.device | str = "cpu") -> None:
        self.model = model.to(device).eval()

    def embed(self, image: Image) -> EmbeddedImage:
        """The image as the decoder needs it. Keep it as long as prompts for this image may come."""
        return EmbeddedImage(self.model, image[..., :3])


class EmbeddedImage:
    """An image that was looked at, ready for prompts."""

    def __init__(self, model: PromptableSegmenter, image: Image) -> None:
        self.image_size = image.shape[0], image.shape[1]
        self._model = model
        self._image = image
        self._whole = look(model, image)
        # Further clicks on the same object need no new look.
        self._closer = lru_cache(maxsize=CLOSER_LOOKS)(self._look_closer)

    def mask(self, prompt: Prompt) -> Mask:
        """(H, W) of the visible part. Raises InputError where the prompt finds nothing."""
        return self.rated_mask(prompt)[0]

    @torch.inference_mode()
    def rated_mask(self, prompt: Prompt) -> tuple[Mask, float]:
        """As `mask`, with the IoU that the network expects of it, about 0 to 1."""
        logits, rating = self._whole.answer(prompt)
        bounds = self._whole.bounds(logits, prompt) if self._model.config.second_look else None
        near = None if bounds is None else self._seen_from_near(bounds, prompt)
        if near is not None:
            return near
        mask = self._whole.mask(logits, prompt)
        if not mask.any():
            raise InputError(
                "No object was found there.",
                "Click nearer to the middle of the object, add a click, or draw a box around it.",
            )
        return mask, rating

    def _seen_from_near(self, bounds: Bounds, prompt: Prompt) -> tuple[Mask, float] | None:
        """As `rated_mask`, where the object lies within a window that shows more of it. None where there is none."""
        for _ in range(CLOSER_LOOKS):
            window = self._window(bounds)
            if window is None:
                return None
            closer, own_prompt = self._closer(window), _within(prompt, window)
            logits, rating = closer.answer(own_prompt)
            left, top, right, bottom = window
            mask = np.zeros(self.image_size, bool)
            mask[top:bottom, left:right] = closer.mask(logits, own_prompt)
            if not mask.any():
                return None
            goes_on = _goes_on_beyond(mask, window)
            if not goes_on.any():
                return mask, rating
            half = np.array([right - left, bottom - top]) / 2
            bounds = bounds_of(mask) + goes_on * np.stack([-half, half])
        return None

    def _look_closer(self, window: Window) -> Look:
        left, top, right, bottom = window
        return look(self._model, self._image[top:bottom, left:right])

    def _window(self, bounds: Bounds) -> Window | None:
        """Where to look again. None where the object is large enough as it is.

        Its size and place go by steps, so that a little more or less of the object means the same window.
        """
        low, high = bounds
        steps = math.ceil(2 * math.log2(max(CONTEXT * float((high - low).max()) / SMALLEST_WINDOW, 1)))
        side = SMALLEST_WINDOW * 2 ** (steps / 2)
        if side > NEAR_ENOUGH * max(self.image_size):
            return None
        step = side / 4
        size = np.array(self.image_size[::-1])
        corner = np.round(((low + high) / 2 - side / 2) / step) * step
        start = np.clip(corner, 0, np.maximum(size - side, 0)).astype(int)
        end = np.minimum(start + round(side), size)
        return int(start[0]), int(start[1]), int(end[0]), int(end[1])


def _goes_on_beyond(mask: Mask, window: Window) -> NDArray[np.bool_]:
    """((left, top), (right, bottom)): whether what was found (H, W) goes on there, beyond the window, in the image."""
    left, top, right, bottom = window
    height, width = mask.shape
    rows, columns = slice(top, bottom), slice(left, right)
    edges = ((mask[rows, left], mask[top, columns]), (mask[rows, right - 1], mask[bottom - 1, columns]))
    there_is_more = np.array([[left > 0, top > 0], [right < width, bottom < height]])
    return there_is_more & np.array([[edge.mean() > RUNS_OUT for edge in corner] for corner in edges])


def _within(prompt: Prompt, window: Window) -> Prompt:
    """The prompt in pixels of the window. Negative clicks outside say nothing about what is in it."""
    left, top, right, bottom = window

    def moved(x: float, y: float) -> tuple[float, float]:
        return x - left, y - top

    negatives = [(x, y) for x, y in prompt.negatives if left <= x < right and top <= y < bottom]
    box = prompt.box
    return Prompt(
        tuple(moved(*point) for point in prompt.points),
        tuple(moved(*point) for point in negatives),
        None if box is None else (*moved(*box[:2]), *moved(*box[2:])),
    )
