"""SyncDreamer's cameras: sixteen around the object at 30 degrees, and the free one of the photograph.

World: z up, object inside [-0.5, 0.5]^3. Camera: OpenCV axes (x right, y down, z forward), 1.5 from the origin,
looking at it. Azimuth 0 is on the +x side. (SyncDreamer, arXiv 2309.03453; figures measured from its camera file.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VIEW_COUNT = 16
VIEW_SIZE = 256
TARGET_ELEVATION = 30.0
DISTANCE = 1.5
FOCAL = 280.0
"""In pixels of a 256-pixel picture."""

AZIMUTHS = np.arange(VIEW_COUNT) * (360.0 / VIEW_COUNT)


def intrinsics(size: int = VIEW_SIZE) -> NDArray[np.float64]:
    """(3, 3) K for a square picture. Pixel centres at +0.5, unless a model's own convention says otherwise."""
    scale = size / VIEW_SIZE
    return np.array([[FOCAL * scale, 0, size / 2], [0, FOCAL * scale, size / 2], [0, 0, 1.0]])


def world_to_camera(azimuth: float, elevation: float) -> NDArray[np.float64]:
    """(3, 4) [R|t] for angles in degrees."""
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    right = [-np.sin(a), np.cos(a), 0.0]
    down = [np.sin(e) * np.cos(a), np.sin(e) * np.sin(a), -np.cos(e)]
    forward = [-np.cos(e) * np.cos(a), -np.cos(e) * np.sin(a), -np.sin(e)]
    return np.column_stack([np.array([right, down, forward]), [0.0, 0.0, DISTANCE]])


def target_cameras() -> NDArray[np.float64]:
    """(16, 3, 4) world-to-camera matrices of the generated views."""
    return np.stack([world_to_camera(a, TARGET_ELEVATION) for a in AZIMUTHS])


def pixel_rays(
    rows: NDArray[np.integer], columns: NDArray[np.integer], camera: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Origins and unit directions (N, 3) of the rays through the centres of pixels (N,)."""
    through = np.column_stack([columns + 0.5, rows + 0.5, np.ones(len(rows))]) @ np.linalg.inv(intrinsics(size)).T
    directions = through / np.linalg.norm(through, axis=1, keepdims=True) @ camera[:, :3]
    return np.broadcast_to(-camera[:, :3].T @ camera[:, 3], directions.shape), directions
