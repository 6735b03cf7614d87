"""Self-attention over a grid of tokens that know how far apart they are, as in SAM's image encoder.

The relative positions (Li et al. 2022, MViTv2, arXiv 2112.01526, eq. 4) add to each score a term of the query and the
distance in rows, and one of the query and the distance in columns. Here both are more channels of queries and keys, so
that attention is one fused call and no table of all pairs is ever in memory: with 64 x 64 tokens that is gigabytes.
"""

from __future__ import annotations

import torch
from segment_anything.modeling.image_encoder import Attention, get_rel_pos
from torch import Tensor
from torch.nn import functional as F


class RelativeAttention(Attention):
    """segment-anything's `Attention`, with its parameters and its results."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        height, width = x.shape[1:3]
        query, key, value = self.qkv(x).flatten(1, 2).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        grid = query.unflatten(2, (height, width))
        rows = torch.einsum("bnhwc,hkc->bnhwk", grid, get_rel_pos(height, height, self.rel_pos_h))
        columns = torch.einsum("bnhwc,wkc->bnhwk", grid, get_rel_pos(width, width, self.rel_pos_w))
        places = _places(height, width, key).expand(*key.shape[:3], -1)
        seen = F.scaled_dot_product_attention(
            torch.cat([query * self.scale, rows.flatten(2, 3), columns.flatten(2, 3)], dim=-1),
            torch.cat([key, places], dim=-1),
            F.pad(value, (0, height + width)),  # fused kernels want all three equally long
            scale=1.0,
        )
        return self.proj(seen[..., : value.shape[-1]].transpose(1, 2).flatten(2).unflatten(1, (height, width)))


def _places(height: int, width: int, like: Tensor) -> Tensor:
    """(H * W, H + W): each token's row and column, one-hot."""
    row = torch.eye(height, dtype=like.dtype, device=like.device).repeat_interleave(width, 0)
    column = torch.eye(width, dtype=like.dtype, device=like.device).repeat(height, 1)
    return torch.cat([row, column], dim=1)
