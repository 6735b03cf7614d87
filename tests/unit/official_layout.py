"""A pix2gestalt of a few thousand weights, and its checkpoint as the authors would have written it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from unocclude.models import checkpoints
from unocclude.models.autoencoder import AutoencoderConfig
from unocclude.models.converted import OfficialNetwork
from unocclude.models.image_encoder import ImageEncoderConfig
from unocclude.models.pix2gestalt import Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.unet import UNetConfig

TINY = replace(
    Pix2GestaltConfig.official(),
    unet=UNetConfig((8, 8, 8, 8), 1, 2, (True, True, True, False), context=16, groups=4),
    autoencoder=AutoencoderConfig(3, (8, 8, 8, 8), 1, 4, True, latent_std=(1 / 0.18215,) * 4),
    image_encoder=ImageEncoderConfig(28, 14, 16, 1, 2, 16, antialias=False),
)
NETWORK = OfficialNetwork(lambda: Pix2Gestalt(TINY), checkpoints.load_pix2gestalt, single=("autoencoder.",))


def state_of(module: Pix2Gestalt) -> dict[str, Tensor]:
    """In the official layout."""
    stacked: dict[str, list[Tensor]] = {}
    ours = module.state_dict()
    query_first = {"q": 0, "k": 1, "v": 2}
    sources = checkpoints.pix2gestalt_sources(module)
    for name, source in sorted(sources.items(), key=lambda item: query_first.get(item[0].split(".")[-2][0], 3)):
        stacked.setdefault(source.key, []).append(ours[name])
    state = {key: torch.cat(parts) for key, parts in stacked.items()}
    for key in [key for key in state if key.endswith("visual.proj")]:
        state[key] = state[key].T.contiguous()
    for key in [key for key in state if ".attn_1." in key and key.endswith("weight") and ".norm." not in key]:
        state[key] = state[key][:, :, None, None]
    return state | {"alphas_cumprod": module.schedule.alphas_cumprod}
