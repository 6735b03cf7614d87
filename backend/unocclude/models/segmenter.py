"""A promptable segmenter: SAM's architecture (Kirillov et al. 2023, arXiv 2304.02643), large and small.

The networks are segment-anything's own, so the parameters carry the names of the official checkpoints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

from unocclude.errors import ModelsMissingError
from unocclude.models.checkpoints import Source, load, read_checkpoint

MASK_COUNT = 3
"""Masks offered for one ambiguous click: whole, part and part of a part. One more answers several prompts."""
PADDING_LABEL, NEGATIVE_LABEL, POSITIVE_LABEL = -1, 0, 1
"""Labels of points. Padding evens out the number of clicks within a batch."""
NOTHING = re.compile(r"(?!)")
SPOT_RADIUS, SPOT_LOGIT = 2.0, 4.0
"""Of a sketched click: standard deviation in pixels of the mask, and height."""


@dataclass(frozen=True)
class SegmenterConfig:
    """Sizes of the networks. Images are scaled to `image_size` on the longer side and padded to a square.

    The image becomes image_size / patch_size tokens a side, and a mask has four times as many pixels a side.
    Encoder blocks look within windows of `window` tokens a side, except the `global_blocks`. `stem` are the widths of
    convolutions that make the tokens, each halving the picture; without them one linear projection does, as in SAM.
    `sketched_prompts`: clicks and boxes are also drawn into SAM's mask input, as a first guess of the mask.
    """

    image_size: int
    patch_size: int
    width: int
    depth: int
    heads: int
    window: int
    global_blocks: tuple[int, ...]
    prompt_width: int
    decoder_mlp_width: int
    stem: tuple[int, ...] = ()
    sketched_prompts: bool = False

    @property
    def embedding_size(self) -> int:
        """Tokens a side."""
        return self.image_size // self.patch_size

    @property
    def mask_size(self) -> int:
        """Pixels a side of the masks that the decoder draws."""
        return 4 * self.embedding_size

    @classmethod
    def bundled(cls) -> SegmenterConfig:
        """The small network whose weights ship with the product."""
        return cls(
            image_size=256,
            patch_size=16,
            width=128,
            depth=4,
            heads=4,
            window=8,
            global_blocks=(1, 3),
            prompt_width=128,
            decoder_mlp_width=512,
            stem=(16, 32, 64, 128),
            sketched_prompts=True,
        )

    @classmethod
    def official(cls, size: Literal["b", "l", "h"]) -> SegmenterConfig:
        """The published ViT-B, ViT-L and ViT-H (sam_vit_b_01ec64, sam_vit_l_0b3195, sam_vit_h_4b8939)."""
        width, depth, heads = {"b": (768, 12, 12), "l": (1024, 24, 16), "h": (1280, 32, 16)}[size]
        quarter = depth // 4
        return cls(
            image_size=1024,
            patch_size=16,
            width=width,
            depth=depth,
            heads=heads,
            window=14,
            global_blocks=tuple(range(quarter - 1, depth, quarter)),
            prompt_width=256,
            decoder_mlp_width=2048,
        )


class ConvolutionalStem(nn.Module):
    """Pictures to tokens through small convolutions: a transformer with little training sees edges sooner with them.

    (Xiao et al. 2021, Early Convolutions Help Transformers See Better, arXiv 2106.14881)
    """

    def __init__(self, widths: tuple[int, ...], tokens_width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.GroupNorm(8, width), nn.ReLU()]
            before = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, tokens_width, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to (B, S / patch, S / patch, width)."""
        return self.layers(images).permute(0, 2, 3, 1)


class PromptableSegmenter(Sam):
    """Draws masks for clicks and boxes. Encoding the image is the expensive part and is done once per image."""

    def __init__(self, config: SegmenterConfig) -> None:
        tokens = config.embedding_size
        super().__init__(
            image_encoder=ImageEncoderViT(
                img_size=config.image_size,
                patch_size=config.patch_size,
                embed_dim=config.width,
                depth=config.depth,
                num_heads=config.heads,
                out_chans=config.prompt_width,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=config.window,
                global_attn_indexes=config.global_blocks,
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=config.prompt_width,
                image_embedding_size=(tokens, tokens),
                input_image_size=(config.image_size, config.image_size),
                mask_in_chans=16,
            ),
            mask_decoder=MaskDecoder(
                transformer=TwoWayTransformer(
                    depth=2,
                    embedding_dim=config.prompt_width,
                    mlp_dim=config.decoder_mlp_width,
                    num_heads=8,
                ),
                transformer_dim=config.prompt_width,
                num_multimask_outputs=MASK_COUNT,
                iou_head_depth=3,
                iou_head_hidden_dim=config.prompt_width,
            ),
        )
        if config.stem:
            self.image_encoder.patch_embed = ConvolutionalStem(config.stem, config.width)
        self.config = config

    @classmethod
    def from_official(cls, path: Path) -> PromptableSegmenter:
        """A published sam_vit_{b,l,h}_*.pth. Raises ModelsMissingError, also for weights other than the name says."""
        named = re.match(r"sam_vit_([blh])", path.name)
        if named is None:
            raise ModelsMissingError(
                f"The name {path.name} does not say which SAM it is.",
                "Give it its published name again, such as sam_vit_h_4b8939.pth.",
            )
        model = cls(SegmenterConfig.official(cast(Literal["b", "l", "h"], named[1])))
        load(model, read_checkpoint(path), {name: Source(name) for name in model.state_dict()}, unused=NOTHING)
        return model.eval()

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) RGB in [0, 255], longer side image_size, to (B, prompt_width, tokens, tokens)."""
        return self.image_encoder(self.preprocess(images))

    def decode(
        self, embeddings: Tensor, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Masks for P separate prompts on each of B images.

        embeddings (B, C, tokens, tokens); points (B * P, N, 2) and boxes (B * P, 4), image by image, in pixels of
        the scaled image; labels (B * P, N): 1 on the object, 0 off it, -1 padding. Returns logits
        (B * P, 4, mask_size, mask_size) and predicted IoUs (B * P, 4). Index 0 is the answer to several prompts,
        1..3 are those to a single click.
        """
        sketch = self._sketch(points, labels, boxes) if self.config.sketched_prompts else None
        sparse, dense = self.prompt_encoder(None if points is None else (points, labels), boxes, sketch)
        # SAM's decoder takes one image and adds the dense prompt to it. Adding the images to the dense prompt instead
        # gives the same sum, and lets one call serve many images.
        images = embeddings.repeat_interleave(len(sparse) // len(embeddings), dim=0)
        return self.mask_decoder.predict_masks(
            image_embeddings=torch.zeros_like(embeddings[:1]),
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense + images,
        )

    def _sketch(self, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None) -> Tensor:
        """(P, 1, mask_size, mask_size) logits: a spot per click, positive or negative, and the box filled faintly.

        A network with little training finds a place in the picture sooner when it is shown than when it is told.
        """
        size = self.config.mask_size
        cell = self.config.image_size / size
        grid = (torch.arange(size, device=self.device) + 0.5) * cell - 0.5
        sketch = torch.zeros((), device=self.device)
        if points is not None and labels is not None:
            near = (-0.5 * ((grid - points[..., None]) / (SPOT_RADIUS * cell)) ** 2).exp()
            signs = (labels == POSITIVE_LABEL).float() - (labels == NEGATIVE_LABEL).float()
            sketch = sketch + SPOT_LOGIT * torch.einsum("pn,pnx,pny->pyx", signs, near[:, :, 0], near[:, :, 1])
        if boxes is not None:
            low, high = boxes[:, :2, None], boxes[:, 2:, None]
            inside = ((grid >= low) & (grid <= high)).float()
            sketch = sketch + inside[:, 1, :, None] * inside[:, 0, None, :]
        return sketch[:, None]
