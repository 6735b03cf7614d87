"""SyncDreamer's input picture, autoencoder, image encoder, viewpoint and time embeddings against the golden ones."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from golden_files import Golden, within
from unocclude.cameras import intrinsics, target_cameras
from unocclude.errors import InputError
from unocclude.models import input_view
from unocclude.models.syncdreamer import SyncDreamer

NETWORKS = 2e-4
TABLES = 1e-6
STORED_AS_HALF = 2e-3

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
    assert (synthesis.schedule.alphas_cumprod - syncdreamer_state["alphas_cumprod"]).abs().max() < TABLES


def test_autoencoder(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("vae_tiny")
    posterior = synthesis.autoencoder.posterior(stored["image"])
    assert within(posterior.parameters, stored["moments"], NETWORKS)
    latents = synthesis.autoencoder.encode(stored["image"])
    assert within(latents, stored["latent_mode_scaled"], NETWORKS)
    assert within(synthesis.decode(stored["z"]), stored["decode_of_z_div_0.18215"], NETWORKS)


def test_image_encoder(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("clip_tiny")
    pixels = synthesis.image_encoder.preprocess(stored["image"])
    assert (pixels - stored["preprocessed"]).abs().max() < STORED_AS_HALF
    assert within(synthesis.image_encoder(stored["image"]), stored["embed"][:, 0], NETWORKS)


def test_viewpoints_and_times(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("wrapper")
    viewpoints = synthesis.viewpoints(stored["elevations_rad"])
    assert (viewpoints - stored["viewpoint_embedding"]).abs().max() < TABLES
    waves = synthesis.unet.base.time_proj(stored["t"])
    assert (waves - stored["timestep_embedding_mc"]).abs().max() < TABLES
    assert within(synthesis.embed_time(stored["t"]), stored["embed_time"], NETWORKS)


def test_a_sampled_input_stays_near_the_mean(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    picture, elevation = syncdreamer_golden.tensors("vae_tiny")["image"], torch.zeros(1)
    mean = synthesis.encode_input(picture, elevation)
    draws = [synthesis.encode_input(picture, elevation, torch.Generator().manual_seed(s)).latents for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    std = synthesis.autoencoder.posterior(picture).std
    assert ((draws[0] - mean.latents) / std).std().item() == pytest.approx(1, abs=0.05)
