"""UNet, autoencoder, image encoder and mask rule of pix2gestalt against the golden outputs."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from golden_files import Golden, to_pictures
from torch import Tensor
from unocclude.models.autoencoder import is_background
from unocclude.models.pix2gestalt import CompletionCondition, Pix2Gestalt

NETWORKS = 1e-4
IMAGE_ENCODER = 1e-5
PIXELS = 1e-6

pytestmark = pytest.mark.usefixtures("no_gradients")


def split(channels: Tensor, context: Tensor) -> tuple[Tensor, CompletionCondition]:
    return channels[:, :4], CompletionCondition(channels[:, 4:], context)


@pytest.mark.parametrize("case", ["sq32", "sq16", "rect24x32", "tok5"])
def test_unet(case: str, completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("unet")
    z, condition = split(stored[f"{case}.x12"], stored[f"{case}.context"])
    found = completion.denoise(z, stored[f"{case}.timesteps"], condition)
    assert (found - stored[f"{case}.eps_ema"]).abs().max() < NETWORKS


@pytest.mark.parametrize("case", ["sq32", "sq16", "rect24x32", "tok5"])
def test_unet_before_averaging(case: str, raw_completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("unet")
    z, condition = split(stored[f"{case}.x12"], stored[f"{case}.context"])
    found = raw_completion.denoise(z, stored[f"{case}.timesteps"], condition)
    assert (found - stored[f"{case}.eps_raw"]).abs().max() < NETWORKS


def test_time_embedding(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("unet")
    found = completion.unet.time_proj(stored["temb.timesteps"])
    assert (found - stored["temb.out"]).abs().max() < PIXELS
    shifted = get_timestep_embedding(stored["temb.timesteps"], found.shape[1], downscale_freq_shift=1)
    assert (shifted - stored["temb.out"]).abs().max() > PIXELS


@pytest.mark.parametrize("case", ["", "rect_"])
def test_encoding(case: str, completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("vae")
    posterior = completion.autoencoder.posterior(to_pictures(stored[f"{case}image_u8"]))
    assert (posterior.mode() - stored[f"{case}mode"]).abs().max() < NETWORKS
    assert (posterior.logvar - stored[f"{case}logvar"]).abs().max() < NETWORKS


def test_encoding_of_masks(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("vae")
    mask = to_pictures(stored["mask_u8"].unsqueeze(-1))
    assert (completion.autoencoder.posterior(mask).mode() - stored["mask_mode"]).abs().max() < NETWORKS


def test_decoding(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("vae")
    plain = completion.decode(completion.autoencoder.standardise(stored["latent"]))
    assert (plain - stored["decode_raw"]).abs().max() < NETWORKS
    scaled = completion.decode(stored["rect_latent_scaled"])
    assert (scaled - stored["rect_decode_first_stage"]).abs().max() < NETWORKS


@pytest.mark.parametrize(("case", "crop"), [("sq256", slice(None)), ("rect180x320", slice(60, 124))])
def test_image_encoder(case: str, crop: slice, completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("clip")
    picture = to_pictures(stored[f"{case}.image_u8"])
    pixels = completion.image_encoder.preprocess(picture)
    assert (pixels[..., crop, crop] - stored[f"{case}.pixels"]).abs().max() < PIXELS
    assert (completion.image_encoder(picture) - stored[f"{case}.embedding"]).abs().max() < IMAGE_ENCODER
    assert (completion.context(picture) - stored[f"{case}.context"]).abs().max() < IMAGE_ENCODER


def test_amodal_mask(pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("mask")
    background = torch.from_numpy(is_background(stored["completion_u8"].numpy()))
    assert torch.equal(torch.where(background, 0, 255).to(torch.uint8), stored["mask_u8"])


def test_completions_are_cut_out_of_white(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("mask")
    # The middle of each of the 256 steps, so that rounding does not change a level.
    decoded = (stored["completion_u8"].permute(2, 0, 1).unsqueeze(0) + 0.5) / 255 * 2 - 1
    rgba = completion.to_rgba(decoded)[0]
    assert torch.equal(torch.from_numpy(rgba[..., :3]), stored["completion_u8"])
    assert torch.equal(torch.from_numpy(rgba[..., 3]), stored["mask_u8"])
