"""The small autoencoder's weights before training: block means down, bilinear enlargement up.

From random weights, a narrow network spends its first thousands of steps on luminance and finds colour last. Here every
channel group carries one picture channel x through the skip connections as the triple (x, -x, constant):
silu(x) - silu(-x) = x undoes the activation, and a large constant keeps group normalisation linear. The encoder stays
so: its latents are the 8 x 8 block means of R, G, B and alpha, less the background. The decoder then learns detail.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unocclude.models.autoencoder import LATENT_CHANNELS, Autoencoder
from unocclude.models.volumes import LATENT_STRIDE

BACKGROUND = (1.0, 1.0, 1.0, -1.0)
"""Carried as 0, so that zero padding means background: white, alpha -1."""
ENCODER_CONSTANT = 100.0
"""Large enough that the encoder is linear to a thousandth or two."""
LINEAR_TO = 5e-3
DECODER_CONSTANT = 10.0
"""Large enough to start well, small enough to learn."""
ENCODER_SPARE, DECODER_SPARE = 0.0, 0.1
"""What the random weights of the channels outside the triples are multiplied by."""
QUIET_LOGVAR = -6.0
HALVE = (0.5, 0.5, 0.0)
ENLARGE = (0.25, 0.5, 0.25)


@torch.no_grad()
def start_as_thumbnail(autoencoder: Autoencoder) -> None:
    """Sets the weights of an RGBA autoencoder with four normalisation groups of at least three channels."""
    kl = autoencoder.kl
    if autoencoder.config.channels != len(BACKGROUND) or autoencoder.config.groups != len(BACKGROUND):
        raise ValueError("The thumbnail start needs four picture channels and four groups.")
    background = torch.tensor(BACKGROUND)
    none = torch.zeros(LATENT_CHANNELS)
    quiet = torch.full((LATENT_CHANNELS,), QUIET_LOGVAR)
    _start(kl.encoder, -background, torch.cat([none, quiet]), ENCODER_CONSTANT, ENCODER_SPARE)
    _start(kl.decoder, none, background, DECODER_CONSTANT, DECODER_SPARE)
    for point in (kl.quant_conv, kl.post_quant_conv):
        nn.init.zeros_(point.bias)
        point.weight.copy_(torch.eye(point.weight.shape[0])[..., None, None])


def plain_encoder(autoencoder: Autoencoder) -> Callable[[Tensor], Tensor]:
    """Plain posterior means of pictures (B, C, H, W): a hundred times faster where the encoder still is as started."""

    def means(pictures: Tensor) -> Tensor:
        background = pictures.new_tensor(BACKGROUND).reshape(-1, 1, 1)
        return F.avg_pool2d(autoencoder.fit_channels(pictures) - background, LATENT_STRIDE)

    def encoded(pictures: Tensor) -> Tensor:
        return autoencoder.posterior(pictures).mode()

    if autoencoder.config.channels != len(BACKGROUND):
        return encoded
    device = next(autoencoder.parameters()).device
    probe = torch.rand(1, len(BACKGROUND), 64, 64, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode():
        as_started = torch.allclose(encoded(probe), means(probe), rtol=0, atol=LINEAR_TO)
    return means if as_started else encoded


def _start(half: nn.Module, offset_in: Tensor, offset_out: Tensor, constant: float, spare: float) -> None:
    """One half of the autoencoder, from `conv_in` to `conv_out`."""
    for name, module in half.named_modules():
        if name.endswith("conv2") and isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)  # residual branches begin silent
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        elif name.endswith("conv_shortcut"):
            _carry(module, None, constant, spare)
        elif name.endswith("downsamplers.0.conv"):
            _carry(module, HALVE, constant, spare)
        elif name.endswith("upsamplers.0.conv"):
            _carry(module, ENLARGE, constant, spare)
    _spread(half.conv_in, offset_in, constant, spare)  # type: ignore[arg-type]
    norm = half.conv_norm_out
    assert isinstance(norm, nn.GroupNorm)
    share = norm.num_groups / norm.num_channels  # one constant among the channels of a group
    nn.init.constant_(norm.weight, constant * (share * (1 - share)) ** 0.5)
    nn.init.constant_(norm.bias, constant * share)
    _gather(half.conv_out, offset_out)  # type: ignore[arg-type]


def _triples(width: int) -> Tensor:
    """(4, 3) channels that carry x, -x and the constant of each group."""
    return torch.arange(4)[:, None] * (width // 4) + torch.arange(3)


def _kernel(weights: tuple[float, float, float]) -> Tensor:
    return torch.outer(torch.tensor(weights), torch.tensor(weights))


def _carry(conv: nn.Module, kernel: tuple[float, float, float] | None, constant: float, spare: float) -> None:
    """Triples go on as they are, blurred by `kernel`; other channels keep their random weights, times `spare`."""
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    conv.weight.mul_(spare)
    conv.bias.mul_(spare)
    into, out = _triples(conv.in_channels), _triples(conv.out_channels)
    conv.weight[out.flatten()] = 0
    for group in range(4):
        for role in range(2):
            centre = _kernel(kernel) if kernel else torch.ones(1, 1)
            conv.weight[out[group, role], into[group, role]] = centre
    conv.bias[out[:, :2].flatten()] = 0
    conv.bias[out[:, 2]] = constant


def _spread(conv: nn.Conv2d, offset: Tensor, constant: float, spare: float) -> None:
    """Four channels, plus `offset`, to triples."""
    assert conv.bias is not None
    out = _triples(conv.out_channels)
    conv.weight.mul_(spare)
    conv.bias.mul_(spare)
    conv.weight[out.flatten()] = 0
    for group in range(4):
        conv.weight[out[group, 0], group, 1, 1] = 1
        conv.weight[out[group, 1], group, 1, 1] = -1
    conv.bias[out[:, 0]], conv.bias[out[:, 1]], conv.bias[out[:, 2]] = offset, -offset, constant


def _gather(conv: nn.Conv2d, bias: Tensor) -> None:
    """Activated triples back to the first four channels."""
    assert conv.bias is not None
    into = _triples(conv.in_channels)
    nn.init.zeros_(conv.weight)
    for group in range(4):
        conv.weight[group, into[group, 0], 1, 1] = 1
        conv.weight[group, into[group, 1], 1, 1] = -1
    conv.bias.copy_(bias)
