"""Trains the bundled segmenter on scenes of procedural objects, with simulated clicks and boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.data.clicks import click_inside, corrective_click, loose_box
from unocclude.data.scenes import SceneSource
from unocclude.models.registry import BUNDLED
from unocclude.models.segmenter import NEGATIVE_LABEL, POSITIVE_LABEL, PromptableSegmenter, SegmenterConfig
from unocclude.models.weights import load_bundled, save_bundled
from unocclude.pipeline.types import Image as Picture
from unocclude.training.loop import Tensors
from unocclude.training.scene_stock import CELL, SceneStock, draw_stock

VALIDATION_SCENES = 250
CENTRAL_CLICKS = 0.7
"""The share of first clicks near the middle of what is meant."""
SMALLEST = 12
"""Cells; things smaller than this are not asked for."""


@dataclass(frozen=True)
class Question:
    """A picture's wanted masks and the clicks on them: masks (P, h, w) in [0, 1], points (P, 2) in pixels."""

    masks: NDArray[np.float32]
    points: NDArray[np.float32]


class SegmenterTask:
    """The `Task` of the training loop."""

    merit = "click"

    def __init__(self, stock: SceneStock, validation: SceneStock, batch: int) -> None:
        torch.manual_seed(0)
        self.module = PromptableSegmenter(SegmenterConfig.bundled())
        known = load_bundled(BUNDLED / "segmenter.safetensors", PromptableSegmenter)
        assert self.module.stem is not None
        assert known.stem is not None
        self.module.stem.learn_along(known.stem)
        self._stock = stock
        self._validation = validation
        self._batch = batch

    @classmethod
    def prepared(
        cls, source: SceneSource, folder: Path, scenes: int, seed: int, workers: int, batch: int
    ) -> SegmenterTask:
        """Draws what scenes `folder` lacks first."""
        validation = draw_stock(source, folder / "validation", VALIDATION_SCENES, seed + 1, workers)
        return cls(draw_stock(source, folder / "scenes", scenes, seed, workers), validation, batch)

    def draw(self, rng: np.random.Generator) -> Tensors:
        """images (B, h, w, 3) uint8; two questions for each: masks (2 B, S/4, S/4), points (2 B, 1, 2)."""
        frame = _random_frame(rng, self.module.config.image_size)
        pictures: list[Picture] = []
        questions: list[Question] = []
        while len(pictures) < self._batch:
            image, shares = self._stock[int(rng.integers(len(self._stock)))]
            picture, wanted_shares = _window(rng, _recoloured(rng, image), shares, frame)
            question = _ask(rng, wanted_shares)
            if question is not None:
                pictures.append(picture)
                questions.append(question)
        return {
            "images": torch.from_numpy(np.stack(pictures)),
            "masks": torch.from_numpy(np.concatenate([q.masks for q in questions])),
            "points": torch.from_numpy(np.concatenate([q.points for q in questions]))[:, None],
        }

    def loss(self, batch: Tensors, rng: np.random.Generator) -> Tensor:
        wanted, points = batch["masks"], batch["points"]
        encoded = self.module.encode(batch["images"].permute(0, 3, 1, 2).float())
        masks, ratings = self.module.decode(encoded, points, _positive(points))
        first = _answer_loss(masks[:, 1:], ratings[:, 1:], wanted) + _answer_loss(masks[:, :1], ratings[:, :1], wanted)

        again = slice(int(rng.integers(2)), None, 2)  # the objects or the occluders: a correction, or a box
        if rng.random() < 0.6:
            points, labels = self._corrected(rng, points[again], masks[again], ratings[again], wanted[again])
            masks, ratings = self.module.decode(encoded, points, labels)
        else:
            boxes = [loose_box(rng, mask, CELL) for mask in wanted[again].cpu().numpy() > 0.5]
            masks, ratings = self.module.decode(encoded, None, None, points.new_tensor(boxes))
        return first + _answer_loss(masks[:, :1], ratings[:, :1], wanted[again])

    def _corrected(
        self, rng: np.random.Generator, points: Tensor, masks: Tensor, ratings: Tensor, wanted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The first clicks and one more each, on the widest error of the mask that would have been shown."""
        best = ratings.argmax(dim=1)
        drawn = (masks[torch.arange(len(masks)), best] > 0).cpu().numpy()
        pairs = zip(drawn, wanted.cpu().numpy() > 0.5, strict=True)
        clicks = [corrective_click(rng, own, target, CELL) for own, target in pairs]
        more = torch.tensor([point for point, _ in clicks], device=points.device).float()[:, None]
        kinds = [[POSITIVE_LABEL, POSITIVE_LABEL if adds else NEGATIVE_LABEL] for _, adds in clicks]
        return torch.cat([points, more], dim=1), torch.tensor(kinds, device=points.device)

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        """Mean IoU of the answers to one central click and to a box, and 24 pictures with what one click gives."""
        assert isinstance(averaged, PromptableSegmenter)
        rng = np.random.default_rng(0)
        overlaps: dict[str, list[float]] = {"click": [], "best of 4": [], "box": []}
        tiles: list[Picture] = []
        for index in range(0, len(self._validation)):
            image, shares = self._validation[index]
            question = _ask(rng, shares.astype(np.float32) / 255)
            if question is None:
                continue
            encoded = averaged.encode(torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float())
            points = torch.from_numpy(question.points).to(device)[:, None]
            wanted = torch.from_numpy(question.masks).to(device)[:, None] > 0.5
            masks, ratings = averaged.decode(encoded, points, _positive(points))
            each = _overlap(masks > 0, wanted)
            chosen = ratings.argmax(dim=1, keepdim=True)
            overlaps["click"] += each.gather(1, chosen)[::2, 0].tolist()
            overlaps["best of 4"] += each.amax(dim=1)[::2].tolist()
            boxes = [loose_box(rng, mask, CELL) for mask in question.masks > 0.5]
            masks_of_boxes, _ = averaged.decode(encoded, None, None, torch.tensor(boxes, device=device).float())
            overlaps["box"] += _overlap(masks_of_boxes[:, :1] > 0, wanted)[::2, 0].tolist()
            if len(tiles) < 24:
                tiles.append(_tile(image, masks[0, chosen[0, 0]], question.points[0]))
        figures = {name: round(float(np.mean(values)), 4) for name, values in overlaps.items()}
        return figures, np.concatenate([np.concatenate(tiles[row : row + 6], axis=1) for row in range(0, 24, 6)])

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        save_bundled(averaged, path, card)


def _positive(points: Tensor) -> Tensor:
    return torch.full(points.shape[:2], POSITIVE_LABEL, device=points.device)


def _random_frame(rng: np.random.Generator, size: int) -> tuple[int, int]:
    """(height, width) of a batch's pictures: square or of a photograph's format, the longer side `size`."""
    shorter = int(size * rng.choice([1, 3 / 4, 2 / 3, 9 / 16], p=[0.6, 0.15, 0.15, 0.1]) / CELL) * CELL
    return (shorter, size) if rng.random() < 0.7 else (size, shorter)


def _recoloured(rng: np.random.Generator, image: Picture) -> Picture:
    return image[..., rng.permutation(3)] if rng.random() < 0.3 else image


def _window(
    rng: np.random.Generator, image: Picture, shares: NDArray[np.uint8], frame: tuple[int, int]
) -> tuple[Picture, NDArray[np.float32]]:
    """A random part of the scene, mirrored half the time, scaled to `frame`; its shares in [0, 1] within a square."""
    size, cells = image.shape[0], shares.shape[1]
    zoom = rng.uniform(0.6, 1.0)
    height, width = (int(cells * zoom * side / max(frame)) for side in frame)
    top, left = rng.integers(0, cells - height + 1), rng.integers(0, cells - width + 1)
    box = (left, top, left + width, top + height)
    scale = size // cells
    piece = Image.fromarray(image).resize(frame[::-1], Image.Resampling.BILINEAR, tuple(scale * side for side in box))
    grid = (frame[1] // CELL, frame[0] // CELL)
    masks = [np.asarray(Image.fromarray(own).resize(grid, Image.Resampling.BILINEAR, box)) for own in shares]
    mirror = slice(None, None, -1 if rng.random() < 0.5 else 1)
    padded = np.zeros((len(masks), cells, cells), np.float32)
    padded[:, : grid[1], : grid[0]] = np.stack(masks)[..., mirror] / np.float32(255)
    return np.asarray(piece)[:, mirror], padded


def _ask(rng: np.random.Generator, shares: NDArray[np.floating]) -> Question | None:
    """A click on the object and one on its occluder. None if one of them is hardly there.

    All that is seen of the object is wanted, but of an occluder only the piece that was clicked: fences have many.
    """
    masks, points = [], []
    for share, connected in zip(shares, (False, True), strict=True):
        inside = share > 0.5
        if inside.sum() < SMALLEST:
            return None
        point = click_inside(rng, inside, CELL, central=bool(rng.random() < CENTRAL_CLICKS))
        masks.append(_piece(share, point) if connected else share)
        points.append(point)
    return Question(np.stack(masks), np.array(points, np.float32))


def _piece(share: NDArray[np.floating], point: tuple[float, float]) -> NDArray[np.floating]:
    """The connected piece at a point, with the half-filled cells of its edge."""
    pieces, _ = ndimage.label(share > 0.5)
    own = pieces == pieces[int((point[1] + 0.5) / CELL), int((point[0] + 0.5) / CELL)]
    return share * ndimage.binary_dilation(own)


def _answer_loss(masks: Tensor, ratings: Tensor, wanted: Tensor) -> Tensor:
    """The best mask's cross-entropy and dice loss (Milletari et al. 2016), and how far each rating is from the IoU.

    masks (P, K, h, w) logits, ratings (P, K), wanted (P, h, w) in [0, 1].
    """
    masks, ratings = masks.float(), ratings.float()
    target = wanted[:, None].expand_as(masks)
    entropy = F.binary_cross_entropy_with_logits(masks, target, reduction="none").mean(dim=(2, 3))
    drawn = masks.sigmoid()
    dice = 1 - (2 * (drawn * target).sum(dim=(2, 3)) + 1) / ((drawn + target).sum(dim=(2, 3)) + 1)
    rating = F.mse_loss(ratings, _overlap(masks.detach() > 0, target > 0.5))
    return (4 * entropy + dice).amin(dim=1).mean() + rating


def _overlap(drawn: Tensor, wanted: Tensor) -> Tensor:
    """IoU over the last two axes."""
    return (drawn & wanted).sum(dim=(2, 3)) / (drawn | wanted).sum(dim=(2, 3)).clamp(min=1)


def _tile(image: Picture, mask: Tensor, point: NDArray[np.float32]) -> Picture:
    """The picture with the mask in green and the click in red."""
    inside = F.interpolate(mask[None, None], image.shape[:2], mode="bilinear")[0, 0].cpu().numpy() > 0
    tile = image.copy()
    tile[inside] = tile[inside] // 2 + np.array([0, 127, 0], np.uint8)
    x, y = point.astype(int)
    tile[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4] = [255, 0, 0]
    return tile
