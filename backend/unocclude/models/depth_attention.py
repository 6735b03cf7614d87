"""Depth-wise attention, by which pixels look along their rays (SyncDreamer, arXiv 2309.03453, section 3.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unocclude.models.unet import UNetConfig

HEADS = 4
GROUPS = 8


class DepthAttention(nn.Module):
    """Every pixel of x (B, C, h, w) attends over its column's samples in a volume (B, D, depth, h, w)."""

    def __init__(self, width: int, volume_width: int, head_width: int, heads: int = HEADS) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.to_q = nn.Conv2d(width, inner, 1, bias=False)
        self.to_k = nn.Conv3d(volume_width, inner, 1, bias=False)
        self.to_v = nn.Conv3d(volume_width, inner, 1, bias=False)
        self.to_out = nn.Conv2d(inner, width, 1, bias=False)

    def forward(self, x: Tensor, volume: Tensor) -> Tensor:
        query = self.to_q(x).unflatten(1, (self.heads, -1))
        key = self.to_k(volume).unflatten(1, (self.heads, -1))
        value = self.to_v(volume).unflatten(1, (self.heads, -1))
        # Not `scaled_dot_product_attention`: with one query a pixel there are more batches than its GPU kernels take.
        scores = torch.einsum("bnchw,bncdhw->bndhw", query, key) * query.shape[2] ** -0.5
        attended = torch.einsum("bndhw,bncdhw->bnchw", scores.softmax(dim=2), value)
        return self.to_out(attended.flatten(1, 2))


class DepthTransformer(nn.Module):
    """Adds to features (B, C, h, w) what the volume (B, D, depth, h, w) holds; adds nothing when untrained."""

    def __init__(self, width: int, volume_width: int) -> None:
        super().__init__()
        head_width = volume_width // 2
        inner = HEADS * head_width
        self.project_in = nn.Sequential(nn.Conv2d(width, inner, 1), nn.GroupNorm(GROUPS, inner), nn.SiLU())
        self.project_volume = nn.Sequential(
            nn.Conv3d(volume_width, volume_width, 1, bias=False),
            nn.GroupNorm(GROUPS, volume_width),
            nn.ReLU(),
        )
        self.attention = DepthAttention(inner, volume_width, head_width)
        self.project_out = nn.Sequential(
            nn.GroupNorm(GROUPS, inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False),
            nn.GroupNorm(GROUPS, inner),
            nn.ReLU(),
            nn.Conv2d(inner, width, 3, padding=1, bias=False),
        )
        nn.init.zeros_(self.project_out[-1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor, volume: Tensor) -> Tensor:
        return x + self.project_out(self.attention(self.project_in(x), self.project_volume(volume)))


class DepthConditionedUNet(nn.Module):
    """A latent-diffusion UNet with depth attention after the middle and after every layer on the way up.

    The lowest level on the way up has none, and neither have sides for which there is no volume. In a layer
    that ends with an upsampler, the attention comes after it, at the doubled side.
    """

    def __init__(
        self,
        config: UNetConfig,
        in_channels: int,
        out_channels: int,
        latent_side: int,
        volumes: dict[int, int],
    ) -> None:
        """volumes: channels of the frustum volumes by side, as in `denoise`'s volumes."""
        super().__init__()
        self.base: Any = config.build(in_channels, out_channels)
        levels = len(config.widths)
        bottom = latent_side >> (levels - 1)
        self.middle_depth = DepthTransformer(config.widths[-1], volumes[bottom])
        self.up_depth = nn.ModuleDict()
        for i, width in list(enumerate(reversed(config.widths)))[1:]:
            for j in range(config.layers_per_block + 1):
                upsampled = j == config.layers_per_block and i < levels - 1
                side = bottom << (i + upsampled)
                if side in volumes:
                    self.up_depth[f"{i}_{j}"] = DepthTransformer(width, volumes[side])

    def forward(self, x: Tensor, t: Tensor, context: Tensor, volumes: dict[int, Tensor]) -> Tensor:
        """Prediction (B, out, h, w) from x (B, in, h, w), timesteps (B,), tokens (B, L, C), volumes by side."""
        base = self.base
        time = base.time_embedding(base.time_proj(t).to(x.dtype))
        x = base.conv_in(x)
        skips = [x]
        for block in base.down_blocks:
            attends = {"encoder_hidden_states": context} if hasattr(block, "attentions") else {}
            x, states = block(x, time, **attends)
            skips.extend(states)
        x = base.mid_block(x, time, encoder_hidden_states=context)
        x = self.middle_depth(x, volumes[x.shape[-1]])
        for i, block in enumerate(base.up_blocks):
            for j, resnet in enumerate(block.resnets):
                x = resnet(torch.cat([x, skips.pop()], dim=1), time)
                if hasattr(block, "attentions"):
                    x = block.attentions[j](x, encoder_hidden_states=context, return_dict=False)[0]
                if j == len(block.resnets) - 1 and block.upsamplers is not None:
                    x = block.upsamplers[0](x)
                place = f"{i}_{j}"
                if place in self.up_depth:
                    x = self.up_depth[place](x, volumes[x.shape[-1]])
        return base.conv_out(base.conv_act(base.conv_norm_out(x)))
