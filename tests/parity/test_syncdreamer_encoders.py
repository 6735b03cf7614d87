"""SyncDreamer's input picture, autoencoder, image encoder, viewpoint and time embeddings against the golden ones."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from golden_files import IMAGE_ENCODER, NETWORKS, STORED_AS_HALF, TABLES, Golden, within
from PIL import Image
from unocclude.cameras import intrinsics, target_cameras
from unocclude.errors import InputError
from unocclude.models import input_view
from unocclude.models.syncdreamer import SyncDreamer

HALO = 8
"""Pixels of the result."""

pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.mark.parametrize("channels", [4, 3])
def test_input_picture(channels: int, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("prepare_inputs")
    picture = stored["synthetic.rgba"].numpy()[..., :channels]
    cases = syncdreamer_golden.json("prepare_inputs")["synthetic"]
    wanted = [case for case in cases if ("rgb_only" in case["tensor"]) == (channels == 3)]
    assert wanted
    for case in wanted:
        crop = None if case["crop_size"] == -1 else case["crop_size"]
        found = input_view.prepare(picture, crop)[:3].permute(1, 2, 0).contiguous().numpy()
        assert hashlib.sha256(found.astype("<f4").tobytes()).hexdigest() == case["sha256_float32_le"]
        levels = np.round((found + 1) * 127.5).astype(np.uint8)
        assert np.array_equal(levels, stored[f"{case['tensor']}.u8"].numpy())
        assert np.array_equal(found[::8, ::8], stored[f"{case['tensor']}.f32_stride8"].numpy())


def test_real_pictures(syncdreamer_golden: Golden) -> None:
    """The pictures themselves are not in the golden folder, unless someone put them there; their sizes and boxes are.

    An object that fills its recorded box must land where the recorded one did, apart from the faint halo that the box
    includes and that is lost in the shrinking.
    """
    stored = syncdreamer_golden.tensors("prepare_inputs")
    for case in syncdreamer_golden.json("prepare_inputs")["cases"]:
        crop = None if case["crop_size"] == -1 else case["crop_size"]
        path = syncdreamer_golden.folder / case["file"]
        if path.is_file():
            found = input_view.prepare(np.asarray(Image.open(path)), crop)[:3].permute(1, 2, 0).contiguous().numpy()
            assert hashlib.sha256(found.astype("<f4").tobytes()).hexdigest() == case["sha256_float32_le"]
        width, height = case["source_size_wh"]
        left, top, right, bottom = case["alpha_bbox_inclusive_xyxy"]
        picture = np.zeros((height, width, 4), np.uint8)
        picture[top : bottom + 1, left : right + 1, 3] = 255
        drawn = np.argwhere(input_view.prepare(picture, crop)[0].numpy() < 1)
        first, last = drawn.min(axis=0)[::-1], drawn.max(axis=0)[::-1]
        found_box, recorded = np.array([*first, *last]), np.array(case["nonwhite_bbox_inclusive_xyxy"])
        assert ((recorded - found_box) * [1, 1, -1, -1] >= 0).all()
        assert np.abs(recorded - found_box).max() <= HALO
        seen = np.argwhere((stored[f"{case['tensor']}.u8"].numpy() < 255).any(axis=-1))
        assert np.array_equal([*seen.min(axis=0)[::-1], *seen.max(axis=0)[::-1]], recorded)


def test_a_real_picture_that_is_resized(syncdreamer_golden: Golden) -> None:
    """Where the source had SyncDreamer's size, one recorded result, on white, is as good as the source of the other."""
    stored = syncdreamer_golden.tensors("prepare_inputs")
    listed = syncdreamer_golden.json("prepare_inputs")["cases"]
    sources = {c["file"]: c for c in listed if c["crop_size"] == -1 and c["source_size_wh"] == [256, 256]}
    pairs = [(sources[c["file"]], c) for c in listed if c["crop_size"] != -1 and c["file"] in sources]
    assert pairs
    for source, case in pairs:
        left, top, right, bottom = source["alpha_bbox_inclusive_xyxy"]
        picture = np.zeros((256, 256, 4), np.uint8)
        picture[top : bottom + 1, left : right + 1] = 255
        picture[..., :3] = stored[f"{source['tensor']}.u8"].numpy()
        found = input_view.prepare(picture, case["crop_size"])[:3].permute(1, 2, 0).numpy()
        levels = np.round((found + 1) * 127.5).astype(int)
        difference = np.abs(levels - stored[f"{case['tensor']}.u8"].numpy())
        assert difference.mean() < 0.5
        assert (difference > 8).mean() < 0.01
        shifted = np.abs(np.roll(levels, 1, axis=0) - stored[f"{case['tensor']}.u8"].numpy())
        assert shifted.mean() > 1


def test_pictures_without_an_object_are_refused() -> None:
    with pytest.raises(InputError):
        input_view.prepare(np.zeros((64, 64, 4), np.uint8), 200)
    with pytest.raises(InputError):
        input_view.prepare(np.zeros((64, 64, 3), np.uint8), 200)


def test_cameras(syncdreamer_state: dict[str, torch.Tensor], synthesis: SyncDreamer) -> None:
    poses = torch.from_numpy(target_cameras())
    assert (poses - syncdreamer_state["poses"]).abs().max() < TABLES
    assert (torch.from_numpy(intrinsics()) - syncdreamer_state["Ks"]).abs().max() < TABLES
    turn = synthesis.azimuths - syncdreamer_state["azimuth"]
    assert (turn.cos() - 1).abs().max() < TABLES


def test_schedule(syncdreamer_state: dict[str, torch.Tensor], synthesis: SyncDreamer) -> None:
    assert torch.equal(synthesis.schedule.alphas_cumprod, syncdreamer_state["alphas_cumprod"])


def test_autoencoder(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("vae_tiny")
    posterior = synthesis.autoencoder.posterior(stored["image"])
    assert within(posterior.parameters, stored["moments"], NETWORKS)
    assert within(posterior.mean, stored["mean"], NETWORKS)
    assert within(posterior.std, stored["std"], NETWORKS)
    latents = synthesis.autoencoder.encode(stored["image"])
    assert within(latents, stored["latent_mode_scaled"], NETWORKS)
    assert within(synthesis.decode(stored["z"]), stored["decode_of_z_div_0.18215"], NETWORKS)


def test_image_encoder(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("clip_tiny")
    pixels = synthesis.image_encoder.preprocess(stored["image"])
    assert (pixels - stored["preprocessed"]).abs().max() < STORED_AS_HALF
    assert within(synthesis.image_encoder(stored["image"]), stored["embed"][:, 0], IMAGE_ENCODER)


def test_viewpoints_and_times(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("wrapper")
    viewpoints = synthesis.viewpoints(stored["elevations_rad"])
    assert (viewpoints - stored["viewpoint_embedding"]).abs().max() < TABLES
    waves = synthesis.unet.base.time_proj(stored["t"])
    assert (waves - stored["timestep_embedding_mc"]).abs().max() < TABLES
    width = stored["timestep_embedding_256"].shape[1]
    waves = get_timestep_embedding(stored["t"], width, flip_sin_to_cos=True, downscale_freq_shift=0)
    assert (waves - stored["timestep_embedding_256"]).abs().max() < TABLES
    assert within(synthesis.embed_time(stored["t"]), stored["embed_time"], NETWORKS)


def test_a_sampled_input_stays_near_the_mean(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    picture, elevation = syncdreamer_golden.tensors("vae_tiny")["image"], torch.zeros(1)
    mean = synthesis.encode_input(picture, elevation)
    draws = [synthesis.encode_input(picture, elevation, torch.Generator().manual_seed(s)).latents for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    std = synthesis.autoencoder.posterior(picture).std
    assert ((draws[0] - mean.latents) / std).std().item() == pytest.approx(1, abs=0.05)
