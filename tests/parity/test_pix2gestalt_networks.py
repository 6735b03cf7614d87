"""UNet, autoencoder, image encoder and mask rule of pix2gestalt against the golden outputs."""

from __future__ import annotations

import re

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from golden_files import IMAGE_ENCODER, NETWORKS, TABLES, Golden, cases, to_pictures, within
from torch import Tensor
from unocclude.models.autoencoder import grey_level, is_background
from unocclude.models.pix2gestalt import CompletionCondition, Pix2Gestalt

pytestmark = pytest.mark.usefixtures("no_gradients")


def split(channels: Tensor, context: Tensor) -> tuple[Tensor, CompletionCondition]:
    return channels[:, :4], CompletionCondition(channels[:, 4:], context)


def test_unet(completion: Pix2Gestalt, raw_completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("unet")
    for case in cases(stored, ".x12"):
        z, condition = split(stored[f"{case}.x12"], stored[f"{case}.context"])
        averaged = completion.denoise(z, stored[f"{case}.timesteps"], condition)
        assert within(averaged, stored[f"{case}.eps_ema"], NETWORKS), case
        raw = raw_completion.denoise(z, stored[f"{case}.timesteps"], condition)
        assert within(raw, stored[f"{case}.eps_raw"], NETWORKS), case


def test_time_embedding(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("unet")
    found = completion.unet.time_proj(stored["temb.timesteps"])
    assert (found - stored["temb.out"]).abs().max() < TABLES
    shifted = get_timestep_embedding(stored["temb.timesteps"], found.shape[1], downscale_freq_shift=1)
    assert (shifted - stored["temb.out"]).abs().max() > TABLES


@pytest.mark.parametrize("case", ["", "rect_"])
def test_encoding(case: str, completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("vae")
    posterior = completion.autoencoder.posterior(to_pictures(stored[f"{case}image_u8"]))
    assert within(posterior.mode(), stored[f"{case}mode"], NETWORKS)
    assert within(posterior.logvar, stored[f"{case}logvar"], NETWORKS)


def test_encoding_of_masks(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("vae")
    mask = to_pictures(stored["mask_u8"].unsqueeze(-1))
    assert within(completion.autoencoder.posterior(mask).mode(), stored["mask_mode"], NETWORKS)


def test_decoding(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("vae")
    plain = completion.decode(completion.autoencoder.standardise(stored["latent"]))
    assert within(plain, stored["decode_raw"], NETWORKS)
    scaled = completion.decode(stored["rect_latent_scaled"])
    assert within(scaled, stored["rect_decode_first_stage"], NETWORKS)


def test_image_encoder(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored, manifest = pix2gestalt_golden.tensors("clip"), pix2gestalt_golden.json("manifest")
    for case in cases(stored, ".image_u8"):
        picture = to_pictures(stored[f"{case}.image_u8"])
        pixels = completion.image_encoder.preprocess(picture)
        moments = torch.stack([pixels.mean(), pixels.std()])
        assert within(moments, torch.tensor(manifest["meta"][f"clip.{case}.pixels_mean_std"]), IMAGE_ENCODER)
        what = manifest["files"]["clip.safetensors"]["tensors"][f"{case}.pixels"]["what"]
        for first, last in re.findall(r"(\d+):(\d+)", what)[:1]:  # only a part was stored
            pixels = pixels[..., int(first) : int(last), int(first) : int(last)]
        assert within(pixels, stored[f"{case}.pixels"], TABLES)
        assert within(completion.image_encoder(picture), stored[f"{case}.embedding"], IMAGE_ENCODER)
        assert within(completion.context(picture), stored[f"{case}.context"], IMAGE_ENCODER)


def test_amodal_mask(pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("mask")
    grey = grey_level(stored["completion_u8"].numpy())
    assert torch.equal(torch.from_numpy(grey.astype("uint8")), stored["gray_u8"])
    background = torch.from_numpy(is_background(stored["completion_u8"].numpy()))
    assert torch.equal(torch.where(background, 0, 255).to(torch.uint8), stored["mask_u8"])


def test_completions_are_cut_out_of_white(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("mask")
    # The middle of each of the 256 steps, so that rounding does not change a level.
    decoded = (stored["completion_u8"].permute(2, 0, 1).unsqueeze(0) + 0.5) / 255 * 2 - 1
    rgba = completion.to_rgba(decoded)[0]
    assert torch.equal(torch.from_numpy(rgba[..., :3]), stored["completion_u8"])
    assert torch.equal(torch.from_numpy(rgba[..., 3]), stored["mask_u8"])
