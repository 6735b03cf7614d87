"""CLIP (Radford et al., arXiv 2103.00020): pictures and texts as vectors in one space."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from unocclude.errors import ModelsMissingError
from unocclude.models.image_encoder import ImageEncoder, ImageEncoderConfig

START, END = "<|startoftext|>", "<|endoftext|>"
BYTE_TOKENS, MERGES = 512, 48894
"""Of OpenAI's vocabulary: a token per byte, inside and at the end of a word, and one per merge of two tokens."""


@dataclass(frozen=True)
class ClipConfig:
    """`length`: most tokens of a text. `vocabulary`: how many tokens there are; the last ends every text."""

    image: ImageEncoderConfig
    width: int
    layers: int
    heads: int
    length: int
    vocabulary: int

    @classmethod
    def official(cls) -> ClipConfig:
        """ViT-L/14."""
        return cls(ImageEncoderConfig.official(), 768, 12, 12, 77, BYTE_TOKENS + MERGES + 2)


class Clip(nn.Module):
    """Vectors are (B, E) of length 1."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config.image)
        self.text_encoder: Any = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=config.vocabulary,
                hidden_size=config.width,
                intermediate_size=4 * config.width,
                projection_dim=config.image.embedding,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                max_position_embeddings=config.length,
                hidden_act="quick_gelu",
                layer_norm_eps=1e-5,
                bos_token_id=config.vocabulary - 2,
                eos_token_id=config.vocabulary - 1,
                pad_token_id=config.vocabulary - 1,
            )
        )
        self.logit_scale = nn.Parameter(torch.tensor(4.6052))

    def embed_pictures(self, pictures: Tensor) -> Tensor:
        """From (B, 3, size, size) in [-1, 1]."""
        return F.normalize(self.image_encoder(pictures), dim=-1)

    def embed_texts(self, tokens: Tensor) -> Tensor:
        """From (B, length) token numbers; what follows the first end of a text does not matter."""
        return F.normalize(cast(Tensor, self.text_encoder(tokens).text_embeds), dim=-1)

    def probabilities(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """(B, T): which of the texts (T, E) fits each of the pictures (B, E)."""
        return (self.logit_scale.exp() * pictures @ texts.T).softmax(dim=-1)


class Tokenizer:
    """Texts to token numbers with OpenAI's byte-pair vocabulary, bpe_simple_vocab_16e6.txt.gz."""

    def __init__(self, path: Path, length: int = 77) -> None:
        """Raises ModelsMissingError for a file that does not hold it."""
        try:
            lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
        except (OSError, EOFError, UnicodeDecodeError) as error:
            cure = f"Get it again: unocclude models remove {path.name}, then download."
            raise ModelsMissingError(f"The vocabulary {path.name} cannot be read.", cure) from error
        merges: Any = [tuple(line.split()) for line in lines[1 : MERGES + 1] if line]
        letters = _byte_letters()
        tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), START, END]
        numbers = {token: number for number, token in enumerate(tokens)}
        self._tokenizer = CLIPTokenizer(vocab=numbers, merges=merges)
        self._length = length

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(T, length) int64; longer texts are cut."""
        options = {"padding": "max_length", "truncation": True, "max_length": self._length}
        return cast(Tensor, self._tokenizer(list(texts), return_tensors="pt", **options)["input_ids"])


def _byte_letters() -> list[str]:
    """A visible letter for each byte: itself where it is visible, else one beyond Latin-1; the visible ones first."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = 256 - len(visible)
    return [chr(code) for code in visible] + [chr(256 + i) for i in range(hidden)]
