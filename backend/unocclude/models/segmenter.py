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
from torch.nn import functional as F

from unocclude.errors import ModelsMissingError
from unocclude.models.checkpoints import Source, StateDict, load
from unocclude.models.converted import OfficialNetwork
from unocclude.models.known_features import KnownFeatures
from unocclude.models.relative_attention import RelativeAttention

MASK_COUNT = 3
"""Masks offered for one ambiguous click: whole, part and part of a part. One more answers several prompts."""
PADDING_LABEL, NEGATIVE_LABEL, POSITIVE_LABEL = -1, 0, 1
"""Labels of points. Padding evens out the number of clicks within a batch."""
NOTHING = re.compile(r"(?!)")
SINGLE = ("prompt_encoder.", "mask_decoder.", "image_encoder.pos_embed", "image_encoder.neck.")
"""Kept in single precision: the small decoder, and the sum of tokens that runs through all blocks of the encoder."""
SPOT_RADIUS, SPOT_LOGIT = 2.0, 4.0
"""Of a sketched click: standard deviation in pixels of the mask, and height."""


@dataclass(frozen=True)
class SegmenterConfig:
    """Sizes of the networks. Images are scaled to `image_size` on the longer side and padded to a square.

    The image becomes image_size / patch_size tokens a side, and a mask has four times as many pixels a side.
    Encoder blocks look within windows of `window` tokens a side, except the `global_blocks`. `features` names timm's
    classifier of ImageNet whose feature maps become the tokens; without one a linear projection does, as in SAM.
    `sketched_prompts`: clicks and boxes are also drawn into SAM's mask input, as a first guess of the mask.
    `colour_cut`: the network's masks are rough and get drawn to the edges of the colours, see pipeline/colour_cut.py.
    `second_look`: objects that are small in the image are looked at again from near, see pipeline/segment.py.
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
    features: str = ""
    sketched_prompts: bool = False
    colour_cut: bool = False
    second_look: bool = False

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
            features="tf_efficientnet_lite0",
            sketched_prompts=True,
            colour_cut=True,
            second_look=True,
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


@dataclass(frozen=True)
class EncodedImages:
    """What the decoder needs of B images: features (B, prompt_width, tokens, tokens), and of a classifier two finer
    maps to draw edges by, (B, prompt_width / 4, 2 tokens, 2 tokens) and (B, prompt_width / 8, 4 tokens, 4 tokens)."""

    features: Tensor
    details: tuple[Tensor, ...]


class KnownTokens(KnownFeatures):
    """Pictures to tokens, from the maps of 1/16 and 1/32 of the picture's sides.

    The finer ones go to the mask decoder, as in SAM 2 (Ravi et al. 2024, arXiv 2408.00714).
    """

    def __init__(self, name: str, token_width: int, prompt_width: int) -> None:
        super().__init__(name)
        fine, coarse, middle, deep = self.widths
        self.to_tokens = _reader(middle + deep, token_width)
        self.coarse = _reader(coarse, prompt_width // 4)
        self.fine = _reader(fine, prompt_width // 8)

    def forward(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(B, 3, S, S), normalised as for SAM, to tokens (B, S / 16, S / 16, token_width) and two maps of details."""
        fine, coarse, middle, deep = self.maps(pixels)
        deep = F.interpolate(deep, middle.shape[2:], mode="bilinear")
        tokens = self.to_tokens(torch.cat([middle, deep], dim=1)).permute(0, 2, 3, 1)
        return tokens, (self.coarse(coarse), self.fine(fine))


def _reader(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.GroupNorm(8, channels),
        nn.Conv2d(channels, width, 3, padding=1),
        nn.GroupNorm(8, width),
        nn.ReLU(),
        nn.Conv2d(width, width, 1),
    )


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
        self.config = config
        for block in self.image_encoder.blocks:
            side = block.window_size or tokens
            block.attn = RelativeAttention(config.width, config.heads, use_rel_pos=True, input_size=(side, side))
        self.stem = KnownTokens(config.features, config.width, config.prompt_width) if config.features else None
        if self.stem is not None:
            self.image_encoder.patch_embed = nn.Identity()

    def encode(self, images: Tensor) -> EncodedImages:
        """(B, 3, h, w) RGB in [0, 255], longer side image_size. In single precision, also from an encoder of halves."""
        pixels = self.preprocess(images)
        if self.stem is None:
            return EncodedImages(self.image_encoder(pixels).float(), ())
        tokens, details = self.stem(pixels)
        return EncodedImages(self.image_encoder(tokens), details)

    def decode(
        self, images: EncodedImages, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Masks for P separate prompts on each of B images.

        points (B * P, N, 2) and boxes (B * P, 4), image by image, in pixels of the scaled image; labels (B * P, N):
        1 on the object, 0 off it, -1 padding. Returns logits (B * P, 4, mask_size, mask_size) and predicted IoUs
        (B * P, 4). Index 0 answers any prompts; 1..3 are alternatives for a single, ambiguous click.
        """
        sketch = self._sketch(points, labels, boxes) if self.config.sketched_prompts else None
        sparse, dense = self.prompt_encoder(None if points is None else (points, labels), boxes, sketch)
        count = len(sparse)
        each = count // len(images.features)
        decoder = self.mask_decoder
        questions = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(count, -1, -1)
        answers, seen = decoder.transformer(
            images.features.repeat_interleave(each, dim=0) + dense,
            self.prompt_encoder.get_dense_pe().expand(count, -1, -1, -1),
            torch.cat([questions, sparse], dim=1),
        )
        details = [detail.repeat_interleave(each, dim=0) for detail in images.details]
        pixels = self._enlarged(seen.transpose(1, 2).unflatten(2, dense.shape[2:]), details)
        drawers = decoder.output_hypernetworks_mlps
        weights = torch.stack([draw(answers[:, 1 + k]) for k, draw in enumerate(drawers)], dim=1)
        return torch.einsum("pkc,pcyx->pkyx", weights, pixels), decoder.iou_prediction_head(answers[:, 0])

    def _enlarged(self, seen: Tensor, details: list[Tensor]) -> Tensor:
        """(P, C, t, t) to (P, C / 8, 4 t, 4 t), with the details of each size added."""
        double, norm, bend, double_again, bend_again = self.mask_decoder.output_upscaling
        coarse, fine = details or (0, 0)
        return bend_again(double_again(bend(norm(double(seen) + coarse))) + fine)

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


def official_segmenter(path: Path) -> OfficialNetwork[PromptableSegmenter]:
    """How a published sam_vit_{b,l,h}_*.pth is loaded. Raises ModelsMissingError where the name does not say which."""
    named = re.match(r"sam_vit_([blh])", path.name)
    if named is None:
        raise ModelsMissingError(
            f"The name {path.name} does not say which SAM it is.",
            "Give it its published name again, such as sam_vit_h_4b8939.pth.",
        )
    config = SegmenterConfig.official(cast(Literal["b", "l", "h"], named[1]))

    def fill(model: PromptableSegmenter, state: StateDict) -> None:
        load(model, state, {name: Source(name) for name in model.state_dict()}, unused=NOTHING)

    return OfficialNetwork(lambda: PromptableSegmenter(config), fill, SINGLE)
