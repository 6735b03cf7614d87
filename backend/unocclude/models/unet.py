"""The UNet of latent diffusion, and how wide it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusers import UNet2DConditionModel


@dataclass(frozen=True)
class UNetConfig:
    """`widths`: channels per level, full resolution first, each level half as large as the one before.

    `attention`: which levels have self- and cross-attention; the middle always has.
    `heads`: how many, at every level. `context`: length of the tokens attended to.
    """

    widths: tuple[int, ...]
    layers_per_block: int
    heads: int
    attention: tuple[bool, ...]
    context: int
    groups: int

    @classmethod
    def official(cls) -> UNetConfig:
        """Stable Diffusion 1.x."""
        return cls((320, 640, 1280, 1280), 2, 8, (True, True, True, False), 768, 32)

    def build(self, in_channels: int, out_channels: int) -> Any:
        """A diffusers UNet2DConditionModel."""
        down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in self.attention]
        up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(self.attention)]
        return UNet2DConditionModel(
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            block_out_channels=self.widths,
            layers_per_block=self.layers_per_block,
            cross_attention_dim=self.context,
            attention_head_dim=self.heads,  # diffusers' name for the number of heads, for historical reasons
            norm_num_groups=self.groups,
            norm_eps=1e-5,
            flip_sin_to_cos=True,
            freq_shift=0,
        )
