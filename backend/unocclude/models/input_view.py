"""The picture of the object as SyncDreamer wants it: centred, of a known size, on white."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unocclude.cameras import VIEW_SIZE
from unocclude.errors import InputError


def prepare(picture: NDArray[np.uint8], crop_size: int | None) -> Tensor:
    """(4, 256, 256) float32 in [-1, 1], RGB on white and alpha, from (H, W, 4) or (H, W, 3) uint8.

    `crop_size`: pixels for the longer side of the object, which is then centred. None: the whole picture is
    padded to a square and resized. As in the reference, the box around the object lacks its last row and
    column, and padding is black where the picture has no alpha. Raises InputError without an object to crop to.
    """
    source = Image.fromarray(picture)
    if crop_size is None:
        square = _centred(source, max(source.size))
        canvas = square.resize((VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC)
    else:
        canvas = _centred(_cropped(source, crop_size), VIEW_SIZE)
    pixels = np.asarray(canvas, dtype=np.float32) / 255
    if source.mode == "RGBA":
        alpha = pixels[..., 3:]
        on_white = pixels[..., :3] * alpha + 1 - alpha
    else:
        alpha, on_white = np.ones_like(pixels[..., :1]), pixels
    return torch.from_numpy(np.concatenate([on_white, alpha], axis=-1) * 2 - 1).permute(2, 0, 1)


def _cropped(source: Image.Image, crop_size: int) -> Image.Image:
    box = source.getchannel("A").getbbox() if source.mode == "RGBA" else None
    if box is None or box[2] - box[0] < 2 or box[3] - box[1] < 2:
        raise InputError(
            "The picture shows no object against a transparent background.",
            "Choose a completion with an object in it.",
        )
    left, top, right, bottom = box
    crop = source.crop((left, top, right - 1, bottom - 1))
    scale = crop_size / max(crop.size)
    size = (int(scale * crop.width), int(scale * crop.height))
    return crop.resize(size, Image.Resampling.BICUBIC)


def _centred(picture: Image.Image, side: int) -> Image.Image:
    canvas = Image.new(picture.mode, (side, side))
    canvas.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return canvas
