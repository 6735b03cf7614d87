"""Where an object is empty though no outline tells: in cups and bowls, above lids. Imagined from the input view.

Outlines leave the visual hull; what of that is hollow could be told from how the colours of the views agree, if the
views were sharp. Whoever sees the picture of a bowl knows it at once. So a network says it for each place, as in
Occupancy Networks (Mescheder et al., arXiv 1812.03828), of what was lifted from the picture as for the views.

Hollow, and not filled, is what it is asked: of a wall that is thinner than its place is known, no place is likely,
but that of its inner side is, and its outer side is the outlines'.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from unocclude.models.view_guess import ColumnNetwork, GuessConfig, Seen, VolumeNetwork, lift

RARE = -3.0
"""Logit, before training, that a place within the outlines is hollow."""


class HollowGuess(nn.Module):
    """Networks of the same form as the view guess's."""

    def __init__(self, config: GuessConfig) -> None:
        super().__init__()
        self.config = config
        self.columns = ColumnNetwork(config)
        self.volume = VolumeNetwork(config, 1)

    def forward(self, seen: Seen) -> Tensor:
        """(B, n, n, n) over (z, y, x) of the vertices of `volume_vertices`: logits that the place, if it lies within
        the outlines of all sixteen views, is hollow.
        """
        lifted, _ = lift(self.columns(seen), seen, self.config)
        return cast(Tensor, self.volume(lifted)[:, 0] + RARE)
