"""What is it? Zero-shot recognition of the completed object by CLIP, beside the baselines of pix2gestalt's paper.

The baselines see no completion: the whole photograph, the photograph with a red circle around the visible part
(Shtedritski et al., arXiv 2304.06712), and the visible part alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PilImage
from PIL import ImageDraw
from torch import Tensor

from unocclude.errors import InputError
from unocclude.models.clip import Clip, Tokenizer
from unocclude.models.memory import inference
from unocclude.pipeline.crop import crop_around, cut
from unocclude.pipeline.inputs import read_image, read_mask
from unocclude.pipeline.types import Completion, Image, Mask

PROMPT = "a photo of a {}."
CIRCLE_MARGIN, CIRCLE_WIDTH = 0.1, 0.012
"""Of the box around the visible part; of the photograph's shorter side."""

COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""The 80 classes of COCO."""


@dataclass(frozen=True)
class Guess:
    """`score`: probability among the labels that were asked for."""

    label: str
    score: float


class Recogniser:
    """CLIP with the texts of one list of labels."""

    def __init__(self, clip: Clip, tokenizer: Tokenizer, labels: Sequence[str] = COCO) -> None:
        """Raises InputError for an empty list."""
        if not labels:
            raise InputError("There are no labels to choose from.", "Name some, or leave the list out for COCO's 80.")
        self._clip, self._labels = clip, tuple(labels)
        self._device = clip.logit_scale.device
        with inference(clip):
            tokens = tokenizer([PROMPT.format(label) for label in labels])
            self._texts = clip.embed_texts(tokens.to(self._device))

    def guesses(self, pictures: Mapping[str, Image], top: int = 5) -> dict[str, list[Guess]]:
        """For each picture (H, W, 3), any size, the best labels, best first."""
        size = self._clip.config.image.size
        batch = torch.stack([_fitted(picture, size) for picture in pictures.values()]).to(self._device)
        with inference(self._clip):
            scores = self._clip.probabilities(self._clip.embed_pictures(batch), self._texts)
        best = scores.topk(min(top, len(self._labels)), dim=1)
        return {
            name: [Guess(self._labels[i], round(float(s), 4)) for s, i in zip(values, indices, strict=True)]
            for name, values, indices in zip(pictures, best.values.tolist(), best.indices.tolist(), strict=True)
        }


def recognition_pictures(completion: Completion, image: Image | None, visible: Mask | None) -> dict[str, Image]:
    """The completed object and, where photograph and visible mask are known, the three baselines; (H, W, 3) each."""
    pictures = {"completed object": _on_white(completion.rgba)}
    if image is not None and visible is not None:
        pictures |= {
            "whole image": image,
            "red circle": _with_red_circle(image, visible),
            "visible part only": _alone(image, visible),
        }
    return pictures


def pictures_of_job(folder: Path, image: Path | None) -> dict[str, Image]:
    """From a finished job's folder; with the photograph that it was about, the baselines too. Raises InputError."""
    try:
        chosen = json.loads((folder / "report.json").read_text(encoding="utf-8"))["scores"]["chosen"]
        completion = Completion(np.asarray(PilImage.open(folder / f"completion_{chosen:02d}.png").convert("RGBA")))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder} is no folder of a job that came to completions.", "Name its --out.") from error
    if image is None:
        return recognition_pictures(completion, None, None)
    photograph, visible = read_image(image), read_mask(folder / "visible_mask.png")
    if visible.shape != photograph.shape[:2]:
        raise InputError(f"{image} is not the picture of this job: the sizes differ.", "Name the job's own.")
    return recognition_pictures(completion, photograph, visible)


def read_labels(path: Path) -> tuple[str, ...]:
    """One a line; empty lines do not count. Raises InputError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text.", "Give a text file with one label a line.") from error
    return tuple(line.strip() for line in lines if line.strip())


def _fitted(picture: Image, size: int) -> Tensor:
    """(3, size, size) in [-1, 1], as CLIP was trained: shorter side scaled (bicubic), centre cut out."""
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    scaled = PilImage.fromarray(picture).resize(
        (max(size, round(width * scale)), max(size, round(height * scale))), PilImage.Resampling.BICUBIC
    )
    left, top = (scaled.width - size) // 2, (scaled.height - size) // 2
    pixels = np.array(scaled.crop((left, top, left + size, top + size)), dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1


def _on_white(rgba: Image) -> Image:
    alpha = rgba[..., 3:] / 255.0
    return np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _with_red_circle(image: Image, visible: Mask) -> Image:
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    reach = CIRCLE_MARGIN * max(rows[-1] - rows[0], columns[-1] - columns[0])
    box = (columns[0] - reach, rows[0] - reach, columns[-1] + reach, rows[-1] + reach)
    picture = PilImage.fromarray(image)
    ImageDraw.Draw(picture).ellipse(box, outline=(255, 0, 0), width=max(2, round(CIRCLE_WIDTH * min(image.shape[:2]))))
    return np.asarray(picture)


def _alone(image: Image, visible: Mask) -> Image:
    return cut(np.where(visible[..., None], image, np.uint8(255)), crop_around(visible))
