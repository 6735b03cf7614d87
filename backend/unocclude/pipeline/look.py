"""One look at a picture: encoded for prompts, and what the segmenter answers drawn as a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from scipy import ndimage
from scipy.special import expit
from torch import Tensor

from unocclude.models.memory import inference
from unocclude.models.segmenter import NEGATIVE_LABEL, POSITIVE_LABEL, EncodedImages, PromptableSegmenter
from unocclude.pipeline.colour_cut import CLICK_RADIUS, cut_by_colour
from unocclude.pipeline.types import Image, Mask, Prompt

Bounds = NDArray[np.floating]
"""Two corners (x, y): the least of both, and the greatest."""

SPECK_SHARE = 0.1
"""Of the largest part; parts smaller than this are no parts of the object."""
SURE_PART = 0.6
"""Mean likelihood of a part that belongs to the object though it was not clicked, beyond an occluder that splits it.
Chosen on procedural scenes."""


def look(model: PromptableSegmenter, image: Image) -> Look:
    """Encode a picture (H, W, 3): an image, or a part of one."""
    height, width = image.shape[:2]
    scale = model.config.image_size / max(height, width)
    input_size = max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)
    scaled = np.array(PILImage.fromarray(image).resize(input_size[::-1], PILImage.Resampling.BILINEAR))
    pixels = torch.from_numpy(scaled).permute(2, 0, 1)[None].to(model.device, torch.float32)
    with inference(model):
        return Look(model, model.encode(pixels), scaled, (height, width))


@dataclass(frozen=True)
class Look:
    """An encoded picture, as `scaled` for the encoder, and its (height, width) as given: `image_size`."""

    model: PromptableSegmenter
    encoded: EncodedImages
    scaled: Image
    image_size: tuple[int, int]

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) at the encoder."""
        return self.scaled.shape[0], self.scaled.shape[1]

    def answer(self, prompt: Prompt) -> tuple[Tensor, float]:
        """The network's logits (mask_size, mask_size), and the IoU that it expects of them."""
        clicks = prompt.points + prompt.negatives
        points = labels = boxes = None
        if clicks:
            points = self._scaled(clicks)[None]
            kinds = [POSITIVE_LABEL] * len(prompt.points) + [NEGATIVE_LABEL] * len(prompt.negatives)
            labels = torch.tensor([kinds], device=points.device)
        if prompt.box is not None:
            boxes = self._scaled([prompt.box[:2], prompt.box[2:]]).reshape(1, 4)
        masks, ratings = self.model.decode(self.encoded, points, labels, boxes)
        # A single click is ambiguous: the model answers with several masks and rates them.
        ambiguous = len(clicks) == 1 and prompt.box is None
        best = int(ratings[0].argmax()) if ambiguous else 0
        return masks[0, best], float(ratings[0, best])

    def mask(self, logits: Tensor, prompt: Prompt) -> Mask:
        """(H, W): the network's answer drawn at the picture's own size, without what was not asked for."""
        if self.model.config.colour_cut:
            return self._cut(logits, prompt)
        return self._enlarged(self._tidied(logits, prompt), self.image_size) > 0

    def bounds(self, logits: Tensor, prompt: Prompt) -> Bounds | None:
        """Of what was answered, in pixels of the picture: the parts that were pointed at, and those that are surely the
        object's. None for no answer.
        """
        values = logits.float().cpu().numpy() - self.model.mask_threshold
        if not (values > 0).any():
            return None
        cell = self.model.config.image_size / self.model.config.mask_size
        positives, negatives = (self._scaled(p).cpu().numpy() / cell for p in (prompt.points, prompt.negatives))
        drawn = _object_parts(values > 0, expit(values), positives, negatives)
        corners = bounds_of(drawn) * cell / self._scale
        pointed = [*prompt.points] + ([] if prompt.box is None else [prompt.box[:2], prompt.box[2:]])
        corners = np.concatenate([corners, np.reshape(pointed, (-1, 2))])
        return np.stack([corners.min(axis=0), corners.max(axis=0)])

    def _enlarged(self, logits: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
        """Logits (mask_size, mask_size) at (height, width) `size`, without the padding."""
        full = self.model.postprocess_masks(logits[None, None], self.input_size, size)
        return np.asarray(full[0, 0].float().cpu().numpy() - self.model.mask_threshold)

    def _cut(self, logits: Tensor, prompt: Prompt) -> Mask:
        """(H, W): the logits' mask drawn to the edges of the colours."""
        likelihood = expit(self._enlarged(logits, self.input_size))
        positives, negatives = (self._scaled(p).cpu().numpy() for p in (prompt.points, prompt.negatives))
        box = None if prompt.box is None else self._scaled([prompt.box[:2], prompt.box[2:]]).flatten().cpu().numpy()
        cut = cut_by_colour(self.scaled, likelihood, positives, negatives, box)
        if cut.any():
            scale = max(cut.shape) / max(self.input_size)
            opinion = PILImage.fromarray(likelihood).resize(cut.shape[::-1], PILImage.Resampling.BOX)
            cut = _object_parts(cut, np.asarray(opinion), positives * scale, negatives * scale)
        enlarged = PILImage.fromarray(cut.astype(np.float32)).resize(self.image_size[::-1], PILImage.Resampling.BICUBIC)
        return np.asarray(enlarged) > 0.5

    def _tidied(self, logits: Tensor, prompt: Prompt) -> Tensor:
        """The logits (mask_size, mask_size), negative in the parts that were not asked for."""
        drawn = (logits > self.model.mask_threshold).cpu().numpy()
        if not drawn.any():
            return logits
        cell = self.model.config.image_size / self.model.config.mask_size
        kept = _parts_at(drawn, self._scaled(prompt.points).cpu().numpy() / cell)
        return logits.masked_fill(torch.from_numpy(drawn & ~kept).to(logits.device), float(logits.min()))

    def _scaled(self, places: Sequence[tuple[float, float]]) -> Tensor:
        """(N, 2) pixels of the picture as the encoder saw it."""
        scaled = torch.tensor(places, dtype=torch.float32).reshape(-1, 2) * torch.tensor(self._scale)
        return scaled.to(self.model.device)

    @property
    def _scale(self) -> tuple[float, float]:
        """Horizontally and vertically: pixels that the encoder saw, by pixels as given."""
        (seen_height, seen_width), (height, width) = self.input_size, self.image_size
        return seen_width / width, seen_height / height


def bounds_of(mask: Mask) -> Bounds:
    """Of a mask (H, W) that is not empty, in its pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], float)


def _object_parts(
    mask: Mask,
    likelihood: NDArray[np.floating],
    positives: NDArray[np.floating],
    negatives: NDArray[np.floating],
) -> Mask:
    """The connected parts that are meant: those that the clicks are on, and those that are surely the object's."""
    return np.asarray(_parts_at(mask, positives) | _sure_parts(mask, likelihood, negatives))


def _parts_at(mask: Mask, places: NDArray[np.floating]) -> Mask:
    """The connected parts nearest to the places (N, 2); without places, all that are no specks."""
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    if len(places):
        rows, columns = np.nonzero(mask)
        nearest = [np.argmin((columns - x) ** 2 + (rows - y) ** 2) for x, y in places]
        return np.isin(parts, parts[rows[nearest], columns[nearest]])
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.isin(parts, np.flatnonzero(sizes >= SPECK_SHARE * sizes.max()))


def _sure_parts(mask: Mask, likelihood: NDArray[np.floating], negatives: NDArray[np.floating]) -> Mask:
    """The connected parts that are no specks, that the network believes in, and that no negative click (N, 2) is on."""
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    believed = ndimage.mean(likelihood, parts, np.arange(1, count + 1)) > SURE_PART
    kept = 1 + np.flatnonzero(believed & (sizes >= SPECK_SHARE * sizes.max()))
    rows, columns = np.indices(mask.shape)
    for x, y in negatives:  # the cut has a hole there, so the parts around it
        kept = np.setdiff1d(kept, parts[np.hypot(columns - x, rows - y) < CLICK_RADIUS + 2])
    return np.isin(parts, kept)
