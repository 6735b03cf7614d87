"""Where the photograph lies in the mesh's frame: the camera that puts the mesh over the completed object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unocclude import cameras
from unocclude.pipeline.rasterise import rasterise
from unocclude.pipeline.types import Completion, FrontView, Mask, Surface


def front_view(surface: Surface, completion: Completion, elevation: float) -> FrontView:
    """The completion as a view of the mesh, at azimuth 0 and `elevation` degrees.

    SyncDreamer normalises the object's size and place, so the two silhouettes' bounding boxes are laid over each other;
    that is a change of focal length and principal point, kept in the intrinsics.
    """
    pose = cameras.world_to_camera(0.0, elevation)
    k = cameras.intrinsics()
    drawn = rasterise(surface.vertices, surface.faces, pose, k, cameras.VIEW_SIZE).face >= 0
    (mesh_centre, mesh_extent), (centre, extent) = _box(drawn), _box(completion.mask)
    scale = float(extent.max() / mesh_extent.max())
    laid_over = np.array(
        [
            [scale, 0, centre[0] - scale * mesh_centre[0]],
            [0, scale, centre[1] - scale * mesh_centre[1]],
            [0, 0, 1],
        ]
    )
    return FrontView(completion.rgba, pose, laid_over @ k)


def silhouette_iou(surface: Surface, front: FrontView) -> float:
    """How well the mesh, through the front's camera, covers the object that it was made from."""
    size = len(front.rgba)
    drawn = rasterise(surface.vertices, surface.faces, front.world_to_camera, front.intrinsics, size).face >= 0
    whole = front.rgba[..., 3] > 127
    return float((drawn & whole).sum() / max((drawn | whole).sum(), 1))


def _box(mask: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """((x, y) centre, (width, height)) of a mask's bounding box, in pixels with edges at integers."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    low = np.array([columns[0], rows[0]], float)
    high = np.array([columns[-1] + 1, rows[-1] + 1], float)
    return (low + high) / 2, high - low
