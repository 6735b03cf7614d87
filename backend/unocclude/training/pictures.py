"""Between uint8 pictures and the tensors that networks take, and validation sheets for people."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Picture = NDArray[np.uint8]


def to_tensor(pictures: Picture) -> Tensor:
    """(..., H, W, C) uint8 to (..., C, H, W) float in [-1, 1]."""
    return from_bytes(torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, -3))))


def to_picture(tensor: Tensor) -> Picture:
    """The inverse of `to_tensor`, values clamped."""
    return np.moveaxis(to_bytes(tensor).numpy(), -3, -1)


def to_bytes(tensor: Tensor) -> Tensor:
    """[-1, 1] to uint8 of the same shape, on the CPU, values clamped: small enough to keep many in memory."""
    return ((tensor.detach().float().cpu() + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)


def from_bytes(stored: Tensor) -> Tensor:
    """The inverse of `to_bytes`, where the stored values are."""
    return stored.float() / 127.5 - 1


def on_white(rgba: Picture) -> Picture:
    """(..., 4) straight alpha to (..., 4) with the colours laid over white; the alpha is kept."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    colour = rgba[..., :3] * alpha + 255 * (1 - alpha)
    return np.concatenate([np.round(colour).astype(np.uint8), rgba[..., 3:]], -1)


def sheet(rows: list[list[Picture]]) -> Picture:
    """Pictures of one size, RGB, RGBA or grey masks, as one RGB contact sheet."""
    return np.concatenate([np.concatenate([_rgb(p) for p in row], 1) for row in rows])


def _rgb(picture: Picture) -> Picture:
    if picture.ndim == 2:
        return np.repeat(picture[..., None], 3, -1)
    return on_white(picture)[..., :3] if picture.shape[-1] == 4 else picture
