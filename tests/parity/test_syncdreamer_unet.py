"""Depth attention, the UNet around it, guidance and view conditions of SyncDreamer against the golden ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from golden_files import ANYTHING, NETWORKS, Golden, cases, within
from torch import Tensor, nn
from unocclude.models import checkpoints
from unocclude.models.checkpoint_names import depth_transformer_name
from unocclude.models.depth_attention import DepthAttention, DepthTransformer
from unocclude.models.syncdreamer import InputCondition, SyncDreamer, ViewCondition

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
    seen: dict[str, Tensor] = {}

    def watch(name: str, module: Any, inputs: Any, output: Any) -> None:
        seen[name] = (output[0] if isinstance(output, tuple) else output)[:, :4, :4, :4]

    blocks = blocks_of(synthesis)
    hooks = [module.register_forward_hook(partial(watch, name)) for name, module in blocks.items()]
    found = synthesis.unet(stored["x"], stored["timesteps"], stored["context"], volumes_of(stored))
    for hook in hooks:
        hook.remove()
    assert within(found, stored["out"], NETWORKS)
    expected = {name.removeprefix("hidden."): t for name, t in stored.items() if name.startswith("hidden.")}
    assert seen.keys() == expected.keys()
    for name, hidden in seen.items():
        assert within(hidden, expected[name], NETWORKS), name


def blocks_of(synthesis: SyncDreamer) -> dict[str, nn.Module]:
    """By their official names, the modules that end each block of the UNet, and the depth attention after it."""
    base = synthesis.unet.base
    down, up = [base.conv_in], []
    for block in base.down_blocks:
        down += [*getattr(block, "attentions", block.resnets), *(block.downsamplers or [])]
    for block in base.up_blocks:
        layers = list(getattr(block, "attentions", block.resnets))
        up += layers[:-1] + list(block.upsamplers or layers[-1:])
    named = {f"input_blocks.{i}": module for i, module in enumerate(down)}
    named |= {"mid_block": base.mid_block, "mid_cond": synthesis.unet.middle_depth}
    named |= {f"output_blocks.{i}": module for i, module in enumerate(up)}
    return named | {f"output_conditions.{i}": module for i, module in enumerate(synthesis.unet.up_depth.values())}


def test_guidance(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("wrapper")
    volumes = volumes_of(syncdreamer_golden.tensors("unet"))
    condition = ViewCondition(stored["x_concat"] / SCALE, stored["clip_embed"], volumes)
    found = synthesis.denoise_views(stored["x"], stored["timesteps"], condition)
    assert within(found, stored["forward"], NETWORKS)
    for scale in [name.removeprefix("cfg.") for name in cases(stored, "") if name.startswith("cfg.")]:
        found = synthesis.denoise_views(stored["x"], stored["timesteps"], condition, float(scale))
        assert within(found, stored[f"cfg.{scale}"], NETWORKS), scale


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
