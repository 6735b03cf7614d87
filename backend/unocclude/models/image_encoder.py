"""One vector that says what a picture shows: CLIP's vision transformer (Radford et al., arXiv 2103.00020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ImageEncoderConfig:
    """`size`: side of the square picture the transformer sees. `embedding`: length of the vector."""

    size: int
    patch: int
    width: int
    layers: int
    heads: int
    embedding: int
    antialias: bool

    @classmethod
    def official(cls) -> ImageEncoderConfig:
        """OpenAI's ViT-L/14, fed without antialiasing, as both reference implementations do."""
        return cls(size=224, patch=14, width=1024, layers=24, heads=16, embedding=768, antialias=False)

    @classmethod
    def bundled(cls) -> ImageEncoderConfig:
        return cls(size=128, patch=16, width=128, layers=3, heads=4, embedding=128, antialias=True)


class ImageEncoder(nn.Module):
    """(B, 3, H, W) pictures in [-1, 1] to (B, embedding) vectors, not normalised.

    Its weights may lie on another device than the pictures.
    """

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.clip = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=config.width,
                intermediate_size=4 * config.width,
                projection_dim=config.embedding,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                image_size=config.size,
                patch_size=config.patch,
                hidden_act="quick_gelu",
                layer_norm_eps=1e-5,
            )
        )

    def forward(self, pictures: Tensor) -> Tensor:
        weights = self.clip.visual_projection.weight
        pixels = self.preprocess(pictures).to(weights.device)
        return cast(Tensor, self.clip(pixel_values=pixels).image_embeds).to(pictures.device)

    def preprocess(self, pictures: Tensor) -> Tensor:
        """(B, 3, size, size): bicubic, corners aligned, CLIP's mean and deviation removed."""
        size = (self.config.size, self.config.size)
        if pictures.shape[-2:] != size:
            antialias = self.config.antialias
            pictures = F.interpolate(pictures, size, mode="bicubic", align_corners=True, antialias=antialias)
        mean = pictures.new_tensor(MEAN).reshape(3, 1, 1)
        std = pictures.new_tensor(STD).reshape(3, 1, 1)
        return ((pictures + 1) / 2 - mean) / std
