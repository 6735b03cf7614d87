"""The golden files, and the configurations of the reduced networks in them.

The folder is named by UNOCCLUDE_GOLDEN, ../shared/golden by default. Widths come from its manifests, so another set
made in the same way runs too.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from unocclude.models.autoencoder import AutoencoderConfig
from unocclude.models.image_encoder import ImageEncoderConfig
from unocclude.models.pix2gestalt import Pix2GestaltConfig
from unocclude.models.samplers import Noise
from unocclude.models.syncdreamer import SyncDreamerConfig
from unocclude.models.unet import UNetConfig
from unocclude.models.volumes import VolumeConfig

ANYTHING = re.compile(".*")
"""Accepts all tensors of a checkpoint that are not used."""

NETWORKS = 1e-4
"""Of the largest expected value: UNets, autoencoders, volumes, depth attention."""
IMAGE_ENCODER = 1e-5
"""Of the largest expected value."""
TRAJECTORY = 1e-3
"""Of the largest expected value: states of a sampler."""
TABLES = 1e-6
"""Absolute: schedules, cameras, preprocessed pixels."""
STORED_AS_HALF = 2e-3
"""Absolute, for values about 1 that were stored in half precision."""


class Golden:
    """One folder of golden files. Stored halves are exact and come back as float32."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def json(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / f"{name}.json").read_text()))

    def tensors(self, name: str) -> dict[str, Tensor]:
        tensors = load_file(self.folder / f"{name}.safetensors")
        return {key: t.float() if t.dtype == torch.float16 else t for key, t in tensors.items()}


def golden(name: str) -> Golden:
    default = Path(__file__).parents[2].parent / "shared" / "golden"
    folder = Path(os.environ.get("UNOCCLUDE_GOLDEN", default)) / name
    if not folder.is_dir():
        pytest.skip(f"No golden files in {folder}; UNOCCLUDE_GOLDEN names their folder.")
    return Golden(folder)


def pix2gestalt_config(golden: Golden) -> Pix2GestaltConfig:
    config = golden.json("manifest")["config"]
    unet, vae, clip = config["unet"], config["vae_ddconfig"], config["clip"]
    return Pix2GestaltConfig(
        unet=UNetConfig(
            widths=tuple(unet["model_channels"] * m for m in unet["channel_mult"]),
            layers_per_block=unet["num_res_blocks"],
            heads=unet["num_heads"],
            attention=tuple(2**i in unet["attention_resolutions"] for i in range(len(unet["channel_mult"]))),
            context=unet["context_dim"],
            groups=32,
        ),
        autoencoder=AutoencoderConfig(
            channels=vae["in_channels"],
            widths=tuple(vae["ch"] * m for m in vae["ch_mult"]),
            layers_per_block=vae["num_res_blocks"],
            groups=32,
            mid_attention=True,
            latent_std=(1 / config["scale_factor"],) * 4,
        ),
        image_encoder=ImageEncoderConfig(
            size=clip["image_resolution"],
            patch=clip["vision_patch_size"],
            width=clip["vision_width"],
            layers=clip["vision_layers"],
            heads=clip["vision_heads"],
            embedding=clip["embed_dim"],
            antialias=False,
        ),
        schedule=Pix2GestaltConfig.official().schedule,
        projection_bias=True,
    )


def syncdreamer_config(golden: Golden, state: dict[str, Tensor]) -> SyncDreamerConfig:
    config = golden.json("manifest_diffusion")["config"]
    widths = tuple(config["mc"] * m for m in config["mult"])
    view_width = len(state["spatial_volume.target_encoder.init_conv.bias"])
    time_width = len(state["time_embed.0.bias"])
    vae, clip = golden.tensors("vae_tiny"), golden.tensors("clip_tiny")
    vae_width = len(vae["first_stage_model.encoder.conv_in.bias"])
    patch = clip["clip_image_encoder.model.visual.conv1.weight"].shape[-1]
    context, joined = state["cc_projection.weight"].shape
    volume_widths = tuple(config["vdims"])
    return SyncDreamerConfig(
        unet=UNetConfig(widths, 2, config["heads"], (True, True, True, False), context, 32),
        autoencoder=AutoencoderConfig(
            channels=3,
            widths=tuple(vae_width * m for m in config["vae_mult"]),
            layers_per_block=2,
            groups=32,
            mid_attention=True,
            latent_std=(1 / 0.18215,) * 4,
        ),
        image_encoder=ImageEncoderConfig(
            224, patch, config["clip_w"], config["clip_l"], config["clip_w"] // 64, joined - 4, antialias=False
        ),
        schedule=SyncDreamerConfig.official().schedule,
        volumes=VolumeConfig(
            32, 32, 48, view_width, volume_widths, volume_widths, time_width, pixel_centre=0.0, cameras_in_weights=True
        ),
        condition_dropout=0.05,
    )


def cases(stored: dict[str, Tensor], ending: str) -> list[str]:
    """Beginnings of the names with this ending: what the files hold decides what is tested."""
    found = sorted(name.removesuffix(ending) for name in stored if name.endswith(ending))
    assert found, ending
    return found


def within(found: Tensor, expected: Tensor, fraction: float) -> bool:
    """Whether the largest error is at most this fraction of the largest expected value."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return bool((found - expected).abs().max() <= fraction * expected.abs().max())


def to_pictures(u8: Tensor) -> Tensor:
    """(B, C, H, W) in [-1, 1] from stored uint8 pictures (H, W, C) or (B, H, W, C)."""
    batch = u8 if u8.ndim == 4 else u8.unsqueeze(0)
    return batch.permute(0, 3, 1, 2).float() / 255 * 2 - 1


def replay(*drawn: Tensor) -> Noise:
    """The recorded random numbers, in the order of their being drawn."""
    draws = iter(drawn)
    return lambda shape: next(draws).reshape(shape)
