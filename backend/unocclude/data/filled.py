"""Which points of space a painted object fills: also where no view reaches, deep in a mug or behind a neck."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray

from unocclude.data.objects import PaintedObject
from unocclude.data.shapes import Floats

ABOVE = 1.0
"""Height, outside of any object, from which it is looked down."""


def filled_places(painted: PaintedObject, azimuths: NDArray[np.floating], vertices: int) -> NDArray[np.bool_]:
    """(A, n, n, n) over (z, y, x), for n `vertices` a side of the cube, turned by each of `azimuths` (A,) in degrees:
    whether a part has the place inside, by the odd number of its faces above it.

    A part that is no closed surface fills what is between its uppermost face and its lowest: its inside is not known.
    """
    line = np.linspace(-0.5, 0.5, vertices)
    x, y = (grid.ravel() for grid in np.meshgrid(line, line))
    cos, sin = (f(np.deg2rad(azimuths))[:, None] for f in (np.cos, np.sin))
    columns = np.stack([x * cos - y * sin, x * sin + y * cos], -1).reshape(-1, 2)
    filled = np.zeros((len(columns), vertices), bool)
    for part in range(len(painted.textures)):
        filled |= _filled_along(columns, line, painted.vertices, painted.faces[painted.part_of_face == part])
    return filled.reshape(len(azimuths), vertices, vertices, vertices).transpose(0, 3, 1, 2)


def _filled_along(columns: Floats, heights: Floats, vertices: Floats, faces: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N, Z): whether a surface has the points at ascending `heights` (Z,) of upright `columns` (N, 2) inside."""
    origins = np.column_stack([columns, np.full(len(columns), ABOVE)])
    down = np.broadcast_to([0.0, 0.0, -1.0], origins.shape)
    surface = trimesh.Trimesh(vertices, faces, process=False)
    hits, column, _ = surface.ray.intersects_location(origins, down, multiple_hits=True)
    # By the lattice's layer from which on downwards a face is above.
    layer = np.searchsorted(heights, hits[:, 2]) - 1
    crossed = np.zeros((len(columns), len(heights) + 1), np.int64)
    np.add.at(crossed, (column, layer), 1)  # below the lowest layer: -1, the last
    above = np.cumsum(crossed[:, -2::-1], axis=1)[:, ::-1]
    total = crossed.sum(1, keepdims=True)
    return np.where(total % 2 == 0, above % 2 == 1, (above > 0) & (above < total))
