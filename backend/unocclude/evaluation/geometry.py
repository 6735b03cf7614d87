"""SyncDreamer's measures of shape: Chamfer distance of what the views see, and volume IoU on 64^3.

Protocol of the reference's evaluation, with its quirks: depth runs affinely across a face's picture, pixels are
un-projected at their corner instead of their centre, and the underside, which no view sees, is not measured by the
Chamfer distance. Meshes are in SyncDreamer's frame: z up, within [-0.5, 0.5]^3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from unocclude.cameras import VIEW_SIZE, intrinsics, target_cameras
from unocclude.pipeline.rasterise import fragments, project, rasterise

POINT_SPACING = 0.01
VOXELS = 64

Points = NDArray[np.floating]
Faces = NDArray[np.integer]


def chamfer_distance(predicted: Points, true: Points) -> float:
    """Mean distance to the nearest point of the other set, (P, 3) and (T, 3), averaged over both ways; not squared."""
    there, _ = cKDTree(true).query(predicted)
    back, _ = cKDTree(predicted).query(true)
    return float((there.mean() + back.mean()) / 2)


def seen_points(vertices: Points, faces: Faces) -> Points:
    """(N, 3) points of the mesh that the 16 views see, thinned to one in each cell of a hundredth."""
    clouds = []
    for camera in target_cameras():
        raster = rasterise(vertices, faces, camera, intrinsics(), VIEW_SIZE)
        covered = raster.face >= 0
        _, vertex_depth = project(vertices, camera, intrinsics())
        depth = (vertex_depth[faces[raster.face[covered]]] * raster.weights[covered]).sum(1)
        clouds.append(unproject(covered, depth, camera))
    return thin(np.concatenate(clouds))


def unproject(covered: NDArray[np.bool_], depth: Points, camera: NDArray[np.float64]) -> Points:
    """World points (N, 3) of the covered pixels of a view (H, W) with camera z (N,), at integer coordinates."""
    rows, columns = np.nonzero(covered)
    rays = np.stack([columns, rows, np.ones(len(rows))], 1) @ np.linalg.inv(intrinsics()).T
    return np.asarray((rays * depth[:, None] - camera[:, 3]) @ camera[:, :3], np.float64)


def thin(points: Points) -> Points:
    """The mean of the points in each occupied cell; cells start half a cell below the smallest coordinates."""
    cells = np.floor((points - points.min(0) + POINT_SPACING / 2) / POINT_SPACING).astype(np.int64)
    _, cell, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    sums = np.zeros((len(count), 3))
    np.add.at(sums, cell.reshape(-1), points)
    return sums / count[:, None]


def inside_voxels(vertices: Points, faces: Faces) -> NDArray[np.bool_]:
    """(64, 64, 64) whether the lattice points -1 + 2 i / 64 are inside: odd crossings before them along x.

    Means something for closed meshes, and for those open at the bottom alone.
    """
    # A tiny shift keeps lattice lines off vertices and edges, where a crossing would count twice.
    shift = np.array([1.7e-6, 2.3e-6])
    lattice = (vertices[:, 1:] - shift + 1) * (VOXELS / 2) + 0.5
    crossings = np.zeros((VOXELS * VOXELS, VOXELS + 1), np.int64)
    for pixel, index, weights in fragments(lattice[faces], VOXELS):
        crossing = (vertices[faces[index], 0] * weights).sum(1)
        first_behind = np.clip(np.ceil((crossing + 1) * (VOXELS / 2)), 0, VOXELS).astype(np.int64)
        np.add.at(crossings, (pixel, first_behind), 1)
    inside = np.cumsum(crossings, 1)[:, :VOXELS] % 2 == 1
    return inside.reshape(VOXELS, VOXELS, VOXELS).transpose(2, 1, 0)  # was z (rows), y (columns), x


def volume_iou(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    return float((predicted & true).sum() / (predicted | true).sum())
