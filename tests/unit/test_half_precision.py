"""Halves, as on a GPU: what must stay single does, and the results are near those of single precision."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from unocclude.models.memory import inference
from unocclude.models.pix2gestalt import Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.syncdreamer import SyncDreamer, SyncDreamerConfig
from unocclude.pipeline.completion_samples import sample_completions
from unocclude.pipeline.crop import Crop

TYPICAL = 3
"""Levels of 255 that the pictures may differ on average, after a few steps with made-up weights."""


def halved(network: nn.Module) -> nn.Module:
    """As conversions for a GPU are: all but the autoencoder, biases and the like."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and not name.startswith("autoencoder."):
            parameter.data = parameter.data.half()
    return network.eval()


def completion_model() -> Pix2Gestalt:
    torch.manual_seed(0)
    return Pix2Gestalt(Pix2GestaltConfig.bundled()).eval()


def test_completions() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    visible = np.zeros((64, 64), bool)
    visible[20:40, 20:40] = True

    def made(network: nn.Module) -> np.ndarray:
        assert isinstance(network, Pix2Gestalt)
        (found,) = sample_completions(
            image, visible, Crop(0, 0, 64, 64), network, samples=1, steps=5, guidance=1.5, seed=0
        )
        return found.rgba.astype(int)

    assert np.abs(made(halved(completion_model())) - made(completion_model())).mean() < TYPICAL


def test_predictions_are_near_those_of_single_precision() -> None:
    picture, z = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(1, 4, 8, 8)
    predictions = []
    for network in (completion_model(), halved(completion_model())):
        with inference(network):
            assert isinstance(network, Pix2Gestalt)
            condition = network.encode_condition(picture, picture[:, :1])
            assert condition.latents.dtype == torch.float32
            predictions.append(network.guided(z, torch.tensor([500]), condition, 2.0))
    single, half = predictions
    assert half.dtype == torch.float16
    assert (single - half).abs().max() < 0.02 * single.abs().max()


def test_views_are_near_those_of_single_precision() -> None:
    """The volumes' places stay single: as halves they would be off by a hundredth of a pixel."""
    generator = torch.Generator().manual_seed(0)
    picture, noisy = (torch.randn(shape, generator=generator) for shape in ((1, 4, 256, 256), (1, 16, 4, 32, 32)))
    t, first = torch.tensor([500]), torch.tensor([[0]])
    predictions, volumes = [], []
    for convert in (nn.Module.eval, halved):
        torch.manual_seed(0)
        network = SyncDreamer(SyncDreamerConfig.bundled())
        for transformer in (network.unet.middle_depth, *network.unet.up_depth.values()):
            nn.init.normal_(transformer.project_out[-1].weight, std=0.1)  # type: ignore[union-attr, arg-type, index]
        convert(network)
        with inference(network):
            condition = network.encode_input(picture, torch.tensor([0.2]))
            assert condition.latents.dtype == torch.float32
            volumes.append(network.spatial_volume(noisy, t, condition))
            seen = network.view_condition(volumes[-1], t, condition, first)
            predictions.append(network.denoise_views(noisy[:, 0], t, seen))
    assert predictions[1].dtype == volumes[1].dtype == torch.float16
    for single, half in (predictions, volumes):
        assert torch.isfinite(half).all()
        assert not torch.equal(single, half)
        assert (single - half).abs().max() < 0.02 * single.abs().max()
