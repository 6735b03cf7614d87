"""Our networks, filled with the weights of the golden files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from golden_files import ANYTHING, Golden, golden, pix2gestalt_config, syncdreamer_config
from torch import Tensor
from unocclude.models import checkpoints
from unocclude.models.pix2gestalt import Pix2Gestalt
from unocclude.models.syncdreamer import SyncDreamer


@pytest.fixture(scope="session")
def pix2gestalt_golden() -> Golden:
    return golden("pix2gestalt")


@pytest.fixture(scope="session")
def syncdreamer_golden() -> Golden:
    return golden("syncdreamer")


@pytest.fixture(scope="session")
def pix2gestalt_state(pix2gestalt_golden: Golden) -> dict[str, Tensor]:
    return pix2gestalt_golden.tensors("checkpoint")


@pytest.fixture(scope="session")
def completion(pix2gestalt_golden: Golden, pix2gestalt_state: dict[str, Tensor]) -> Pix2Gestalt:
    """With the weights that sampling uses. Read only."""
    module = Pix2Gestalt(pix2gestalt_config(pix2gestalt_golden))
    checkpoints.load_pix2gestalt(module, pix2gestalt_state)
    return module.eval()


@pytest.fixture
def raw_completion(pix2gestalt_golden: Golden, pix2gestalt_state: dict[str, Tensor]) -> Pix2Gestalt:
    """With the weights that training goes on from: the plain UNet. Free to be changed."""
    module = Pix2Gestalt(pix2gestalt_config(pix2gestalt_golden))
    checkpoints.load_pix2gestalt(module, pix2gestalt_state)
    sources = checkpoints.unet_sources(module.unet, module.config.unet, "model.diffusion_model.")
    checkpoints.load(module.unet, pix2gestalt_state, sources, ANYTHING)
    return module


@pytest.fixture(scope="session")
def syncdreamer_state(syncdreamer_golden: Golden) -> dict[str, Tensor]:
    """The reduced model, together with the reduced encoders, as one checkpoint."""
    encoders = {
        key: tensor
        for name in ("vae_tiny", "clip_tiny")
        for key, tensor in syncdreamer_golden.tensors(name).items()
        if key.startswith(("first_stage_model.", "clip_image_encoder."))
    }
    return syncdreamer_golden.tensors("tiny_model") | encoders


@pytest.fixture(scope="session")
def synthesis(syncdreamer_golden: Golden, syncdreamer_state: dict[str, Tensor]) -> SyncDreamer:
    """Read only, except for gradients."""
    module = SyncDreamer(syncdreamer_config(syncdreamer_golden, syncdreamer_state))
    checkpoints.load_syncdreamer(module, syncdreamer_state)
    return module.eval()


@pytest.fixture
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield
