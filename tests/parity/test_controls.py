"""Mistakes that the parity tests must notice: each control makes one on purpose and has to miss the golden value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_files import NETWORKS, Golden, cases, to_pictures, within
from torch import Tensor
from unocclude.cameras import AZIMUTHS, TARGET_ELEVATION, target_cameras, world_to_camera
from unocclude.models.image_encoder import ImageEncoder
from unocclude.models.pix2gestalt import CompletionCondition, Pix2Gestalt
from unocclude.models.samplers import DDIM
from unocclude.models.syncdreamer import SyncDreamer, ViewCondition
from unocclude.models.volumes import Volumes

BLATANT = 100 * NETWORKS

pytestmark = pytest.mark.usefixtures("no_gradients")


def test_weights_that_are_not_averaged(raw_completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("unet")
    condition = CompletionCondition(stored["sq16.x12"][:, 4:], stored["sq16.context"])
    found = raw_completion.denoise(stored["sq16.x12"][:, :4], stored["sq16.timesteps"], condition)
    assert not within(found, stored["sq16.eps_ema"], BLATANT)


def test_standardised_latents_in_the_condition(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("vae")
    found = completion.autoencoder.encode(to_pictures(stored["rect_image_u8"]))
    assert not within(found, stored["rect_mode"], BLATANT)


def test_standardised_latents_in_the_condition_of_views(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored, source = syncdreamer_golden.tensors("wrapper"), syncdreamer_golden.tensors("unet")
    volumes = {side: source[f"source.{side}"] for side in synthesis.volumes.sides}
    found = synthesis.denoise_views(
        stored["x"], stored["timesteps"], ViewCondition(stored["x_concat"], stored["clip_embed"], volumes)
    )
    assert not within(found, stored["forward"], BLATANT)


def test_latents_decoded_at_the_wrong_scale(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("vae")
    found = completion.autoencoder.kl.decode(stored["rect_latent_scaled"]).sample
    assert not within(found, stored["rect_decode_first_stage"], BLATANT)


def test_picture_and_mask_exchanged(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("unet")
    exchanged = CompletionCondition(stored["sq16.x12"][:, 4:].roll(4, dims=1), stored["sq16.context"])
    found = completion.denoise(stored["sq16.x12"][:, :4], stored["sq16.timesteps"], exchanged)
    assert not within(found, stored["sq16.eps_ema"], BLATANT)


def test_condition_before_the_noise(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("unet")
    rolled = stored["sq16.x12"].roll(8, dims=1)
    condition = CompletionCondition(rolled[:, 4:], stored["sq16.context"])
    found = completion.denoise(rolled[:, :4], stored["sq16.timesteps"], condition)
    assert not within(found, stored["sq16.eps_ema"], BLATANT)


def test_antialiased_image_encoder(completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("clip")
    antialiased = ImageEncoder(replace(completion.image_encoder.config, antialias=True))
    antialiased.load_state_dict(completion.image_encoder.state_dict())
    picture = to_pictures(stored["sq256.image_u8"])
    assert (antialiased.preprocess(picture) - stored["sq256.pixels"]).abs().max() > 0.1
    assert (antialiased(picture) - stored["sq256.embedding"]).abs().max() > 1e-3


@pytest.mark.parametrize("mistake", ["skip_noisiest", "noise_on_last_step"])
def test_step_list_without_its_quirks(mistake: str, completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    drawn: list[tuple[int, ...]] = []

    def noise(shape: tuple[int, ...]) -> Tensor:
        drawn.append(shape)
        return torch.zeros(shape)

    runs, stored = pix2gestalt_golden.json("manifest")["meta"]["ddim_runs"], pix2gestalt_golden.tensors("ddim")
    run = cases(stored, ".noise")[0]
    quirks = {"skip_noisiest": True, "noise_on_last_step": True, mistake: False}
    sampler = DDIM(completion.schedule, runs[run]["S"], **quirks)
    sampler.sample(lambda x, t: x, (1, 4, 2, 2), noise)
    as_recorded = list(sampler.timesteps) == stored[f"{run}.visited_timesteps"].tolist()
    assert not (as_recorded and len(drawn) == 1 + len(stored[f"{run}.noise"]))


def test_volume_read_half_a_pixel_off(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    shifted = Volumes(replace(synthesis.config.volumes, pixel_centre=0.5), as_tensor(target_cameras()))
    assert_other_geometry(shifted, synthesis, syncdreamer_golden)


def test_cameras_that_turn_the_other_way(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    poses = np.stack([world_to_camera(-azimuth, TARGET_ELEVATION) for azimuth in AZIMUTHS])
    assert_other_geometry(Volumes(synthesis.config.volumes, as_tensor(poses)), synthesis, syncdreamer_golden)


def as_tensor(poses: np.ndarray) -> Tensor:
    return torch.from_numpy(poses).float()


def assert_other_geometry(wrong: Volumes, right: SyncDreamer, golden: Golden) -> None:
    stored = golden.tensors("volumes_official_geometry")
    wrong.load_state_dict(right.volumes.state_dict() | dict(wrong.named_buffers()))
    time, viewpoints = stored["t_embed"], stored["v_embed"]
    spatial = wrong.spatial(stored["x"], time, viewpoints)
    assert not within(spatial[..., ::2, ::2, ::2], stored["spatial_volume.s2"], BLATANT)
    spatial = right.volumes.spatial(stored["x"], time, viewpoints)
    frustums = wrong.frustums(spatial, time, viewpoints, stored["target_index"])
    assert not within(frustums[8], stored["frustum.8"], BLATANT)


def test_viewpoints_with_the_wrong_sign(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("wrapper")
    expected = stored["viewpoint_embedding"]
    mirrored = synthesis.viewpoints(stored["elevations_rad"]) * torch.tensor([1.0, -1.0, 1.0, 1.0])
    assert not within(mirrored, expected, BLATANT)
    lowered = synthesis.viewpoints(-stored["elevations_rad"])
    assert not within(lowered, expected, BLATANT)
