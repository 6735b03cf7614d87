"""Depth attention, the UNet around it, guidance and view conditions of SyncDreamer against the golden ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_files import ANYTHING, Golden, within
from torch import Tensor
from unocclude.models import checkpoints
from unocclude.models.checkpoint_names import depth_transformer_name
from unocclude.models.depth_attention import DepthAttention, DepthTransformer
from unocclude.models.syncdreamer import InputCondition, SyncDreamer, ViewCondition

NETWORKS = 2e-4
SCALE = 0.18215

pytestmark = pytest.mark.usefixtures("no_gradients")


def test_depth_attention(syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("depth_attention")
    inner, volume_width = stored["attn.w.to_k.weight"].shape[:2]
    attention = DepthAttention(stored["attn.x"].shape[1], volume_width, inner // 4)
    sources = {name: checkpoints.Source(f"attn.w.{name}") for name in attention.state_dict()}
    checkpoints.load(attention, stored, sources, ANYTHING)
    # The golden module has a bias on its way out, which the one in the UNet has not.
    bias = stored["attn.w.to_out.bias"].reshape(-1, 1, 1)
    found = attention(stored["attn.x"], stored["attn.context"]) + bias
    assert within(found, stored["attn.out"], NETWORKS)
    found = attention(stored["attn.x"], torch.zeros_like(stored["attn.context"])) + bias
    assert within(found, stored["attn.out_zero_context"], NETWORKS)


def test_depth_transformer(syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("depth_attention")
    transformer = DepthTransformer(stored["trans.x"].shape[1], stored["trans.context"].shape[1])
    sources = {name: checkpoints.Source(f"trans.w.{depth_transformer_name(name)}") for name in transformer.state_dict()}
    checkpoints.load(transformer, stored, sources, ANYTHING)
    found = transformer(stored["trans.x"], stored["trans.context"])
    assert within(found, stored["trans.out"], NETWORKS)
    found = transformer(stored["trans.x"], torch.zeros_like(stored["trans.context"]))
    assert within(found, stored["trans.out_zero_context"], NETWORKS)


def volumes_of(stored: dict[str, Tensor]) -> dict[int, Tensor]:
    return {side: stored[f"source.{side}"] for side in (32, 16, 8, 4)}


def test_unet(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("unet")
    seen: list[Tensor] = []

    def watch(module: Any, inputs: Any, output: Tensor) -> None:
        seen.append(output[:, :4, :4, :4])

    unet = synthesis.unet
    hooks = [m.register_forward_hook(watch) for m in (unet.middle_depth, *unet.up_depth.values())]
    found = unet(stored["x"], stored["timesteps"], stored["context"], volumes_of(stored))
    for hook in hooks:
        hook.remove()
    assert within(found, stored["out"], NETWORKS)
    names = ["mid_cond", *(f"output_conditions.{i}" for i in range(9))]
    for name, hidden in zip(names, seen, strict=True):
        assert within(hidden, stored[f"hidden.{name}"], NETWORKS), name


def test_guidance(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("wrapper")
    volumes = volumes_of(syncdreamer_golden.tensors("unet"))
    condition = ViewCondition(stored["x_concat"] / SCALE, stored["clip_embed"], volumes)
    found = synthesis.denoise_views(stored["x"], stored["timesteps"], condition)
    assert within(found, stored["forward"], NETWORKS)
    for scale in (1.5, 2.0, 3.0):
        found = synthesis.denoise_views(stored["x"], stored["timesteps"], condition, scale)
        assert within(found, stored[f"cfg.{scale}"], NETWORKS)


def test_view_conditions(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("wrapper")
    spatial = torch.nn.functional.interpolate(stored["tvf.spatial_volume_nearest_up4"], scale_factor=4)
    condition = InputCondition(stored["tvf.x_input"] / SCALE, stored["tvf.clip_embed"][:, 0], stored["tvf.elevation"])
    found = synthesis.view_condition(spatial, stored["tvf.timesteps"], condition, stored["tvf.target_index"])
    assert within(found.context, stored["tvf.out_clip"], NETWORKS)
    assert within(found.latents * SCALE, stored["tvf.out_x_concat"], NETWORKS)
    assert within(found.volumes[32][..., ::4, ::4, ::4], stored["tvf.out_frustum.32.s4"], NETWORKS)
    assert within(found.volumes[16][..., ::2, ::2, ::2], stored["tvf.out_frustum.16.s2"], NETWORKS)
    assert within(found.volumes[8], stored["tvf.out_frustum.8"], NETWORKS)
    assert within(found.volumes[4], stored["tvf.out_frustum.4"], NETWORKS)
