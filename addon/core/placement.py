"""Where a mesh is to go: by the scene's settings in a window, by default in a batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Placement:
    """Where a mesh goes, with `place` as in the scene's settings: CURSOR, ORIGIN, CAMERA or REPLACE.

    The mesh's longest side becomes about `scale`. `match_camera`: also make the camera that sees it as the photograph.
    """

    place: str = "ORIGIN"
    scale: float = 1.0
    on_ground: bool = True
    match_camera: bool = True
