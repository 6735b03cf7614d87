"""How views compare with the true ones, in figures and as a picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unocclude.cameras import VIEW_COUNT
from unocclude.models.autoencoder import Autoencoder
from unocclude.training.pictures import Picture, sheet, to_picture

ALPHA = 3
SHOWN_OBJECTS = 12


def compare_views(
    autoencoder: Autoencoder, made: Tensor, true: Tensor, picture: Tensor
) -> tuple[dict[str, float], Picture]:
    """Of standardised latents (B, 16, 4, 32, 32): mean squared error; of every fourth view, decoded: mean PSNR and IoU
    of the outline. The sheet shows input views (B, 3, 256, 256) in [-1, 1], the views made, the true ones.
    """
    shown = slice(0, VIEW_COUNT, 4)
    decoded = [
        torch.cat([autoencoder.decode(z[None]) for z in views[:, shown].flatten(0, 1)]) for views in (made, true)
    ]
    error = ((decoded[0] - decoded[1]).clamp(-2, 2)[:, :ALPHA] / 2).square().mean(dim=(1, 2, 3))
    outlines = [pictures[:, ALPHA] > 0 for pictures in decoded]
    both, either = (outlines[0] & outlines[1]).sum((1, 2)), (outlines[0] | outlines[1]).sum((1, 2))
    figures = {
        "psnr": float(-10 * error.log10().mean()),
        "outline_iou": float((both / either.clamp(min=1)).mean()),
        "latent_mse": float(F.mse_loss(made, true)),
    }
    inputs = to_picture(F.avg_pool2d(picture, 2))
    sheets = [to_picture(F.avg_pool2d(pictures[:, :ALPHA], 2)) for pictures in decoded]
    rows = [
        [inputs[k], *sheets[0][4 * k : 4 * k + 4], *sheets[1][4 * k : 4 * k + 4]]
        for k in range(min(len(inputs), SHOWN_OBJECTS))
    ]
    return figures, sheet(rows)
