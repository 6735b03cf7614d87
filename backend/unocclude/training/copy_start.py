"""The small view model's weights before training: every view begins as a copy of its first guess.

With v-prediction, an output of minus the guess's latents makes the predicted x0 sqrt(a) x_t + sqrt(1 - a) x_guess: the
guess where there is only noise, the noisy view itself where there is hardly any. Training has only the difference to
learn. The copy travels from `conv_in` over the outermost skip connection to `conv_out` in triples (x, -x, constant), as
in `thumbnail_start`.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from unocclude.models.autoencoder import LATENT_CHANNELS, AutoencoderConfig

CONSTANT = 10.0
"""Large against latents (about 2), so that group normalisation stays nearly linear."""
SPARE = 0.1
"""What the random output weights of all other channels are multiplied by."""


@torch.no_grad()
def start_as_copy(unet: Any, autoencoder: AutoencoderConfig) -> None:
    """For a diffusers UNet2DConditionModel whose first four input channels are noisy latents, the next four plain ones.

    Needs normalisation groups of at least three channels, four groups at least.
    """
    norm, last = unet.conv_norm_out, unet.up_blocks[-1].resnets[-1]
    assert isinstance(norm, nn.GroupNorm)
    assert isinstance(last, ResnetBlock2D)
    width = norm.num_channels
    size = width // norm.num_groups
    triples = torch.arange(LATENT_CHANNELS)[:, None] * size + torch.arange(3)
    groups = torch.arange(LATENT_CHANNELS * size)

    conv_in, conv_out, shortcut = unet.conv_in, unet.conv_out, last.conv_shortcut
    assert conv_in.bias is not None
    assert shortcut is not None
    assert shortcut.bias is not None
    conv_in.weight[groups] = 0
    conv_in.bias[groups] = 0
    conv_in.bias[triples[:, 2]] = CONSTANT
    for channel, (plus, minus, _) in enumerate(triples.tolist()):
        conv_in.weight[plus, LATENT_CHANNELS + channel, 1, 1] = 1
        conv_in.weight[minus, LATENT_CHANNELS + channel, 1, 1] = -1

    nn.init.zeros_(last.conv2.weight)
    nn.init.zeros_(last.conv2.bias)  # type: ignore[arg-type]
    shortcut.weight[groups] = 0
    shortcut.bias[groups] = 0
    skip = shortcut.in_channels - width  # the skip connection comes after the block's own channels
    shortcut.weight[triples.flatten(), skip + triples.flatten()] = 1

    share = 1 / size
    norm.weight[groups] = CONSTANT * (share * (1 - share)) ** 0.5
    norm.bias[groups] = CONSTANT * share
    conv_out.weight.mul_(SPARE)
    conv_out.weight[:, groups] = 0
    mean, std = torch.tensor(autoencoder.latent_mean), torch.tensor(autoencoder.latent_std)
    for channel, (plus, minus, _) in enumerate(triples.tolist()):
        conv_out.weight[channel, plus, 1, 1] = -1 / std[channel]
        conv_out.weight[channel, minus, 1, 1] = 1 / std[channel]
    assert conv_out.bias is not None
    conv_out.bias.copy_(mean / std)
