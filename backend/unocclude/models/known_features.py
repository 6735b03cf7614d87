"""What a classifier of ImageNet sees in a picture: it has learned from real things, unlike our procedural scenes."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor, nn

DEEP_FROM = 3
"""The first of the classifier's seven groups of blocks that works on 1/16 of the picture's sides."""


class KnownFeatures(nn.Module):
    """timm's classifier of that name up to its last maps, with 1/4, 1/8, 1/16 and 1/32 of the picture's sides.

    The classifier stays as it is, unless a training frees its deep part; what lies behind it learns to read its maps.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        import timm  # a second to import, and the official networks do without it

        self.name = name
        classifier: Any = timm.create_model(name, features_only=True, out_indices=(1, 2, 3, 4))
        self.classifier: nn.Module = classifier.requires_grad_(False).eval()
        self.widths: list[int] = classifier.feature_info.channels()

    def learn_along(self, known: KnownFeatures) -> None:
        """Begins with the classifier of `known`, which saw photographs, and frees its deep part, from 1/16 of the
        picture's sides on: nearly all of the weights.

        The layers before know edges and colours of anything; to train them too takes twice the time.
        """
        self.classifier.load_state_dict(known.classifier.state_dict())
        self.classifier.requires_grad_(False)
        for group in list(self.classifier.get_submodule("blocks").children())[DEEP_FROM:]:
            group.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """The classifier's batch statistics are those of ImageNet, also in training."""
        super().train(mode)
        self.classifier.eval()
        return self

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """(B, widths[k], h, w) for each size, finest first, of normalised pixels (B, 3, H, W)."""
        # Channels-last maps that need no gradient crash the backward pass of GroupNorm on CPUs (torch 2.13).
        return [known.contiguous() for known in self.classifier(pixels)]
