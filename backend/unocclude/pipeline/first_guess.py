"""Where the fit begins: the visual hull, its top levelled or hollowed.

Outlines cannot tell a lid from an opening, and above anything flat they leave a cone. Descent from there ends with a
painted lid. Where who made the views tells of a hollow, it is taken. Else some tops are tried as a whole, and the one
on which the views' colours disagree least is taken: the photo-consistency of space carving (Kutulakos and Seitz 2000),
judged for shapes instead of single voxels. Soft views agree on a lid as well as on an opening.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from unocclude.cameras import TARGET_ELEVATION, VIEW_SIZE, intrinsics, pixel_rays, target_cameras
from unocclude.models.volumes import HALF_EXTENT
from unocclude.pipeline.meshing import Grid
from unocclude.pipeline.rasterise import project, sample_image
from unocclude.pipeline.types import Image, ViewSet

RIM_HEIGHTS = 6
WIDE = 0.9
"""Tops tried, from the highest level at which the hull has this share of its widest area, to its tip."""
WALLS = (0.03, 0.045, 0.06)
"""Thicknesses tried, along the horizontal, of the wall around a hollow; the fit then finds the true one."""
DEPTHS = (0.03, 0.06, 0.1, 0.2, 0.35, 0.6, 0.9)
"""Depths of the hollows tried, as shares of the height."""
LEVELLED, HOLLOWED = 0.97, 0.9
"""A levelled or a hollowed top must bring the disagreement below this share of that of the simpler shape."""
NEARLY = 1.02
"""Hollows whose disagreement is so near the least are as good."""
FLOOR_SEEN = 0.7
"""Most of a floor is seen if it lies less deep than this share of the depth at which it disappears."""
RIM_SLACK = 0.02
"""How far below the tip of its cone a level may point that belongs to it: soft outlines are round."""
OPEN = 0.5
"""Where hollows are told, a level is open where this share of what the wall encloses is told to be hollow."""
SHALLOW = 0.06
"""Hollows less deep are doubt about where a lid is: two vertices of what tells them."""
SMOOTH = 1.5
"""Voxels, by which the inner side of a wall is blurred."""
SIZE = 56
"""Pixels of a side, of the views' rays."""
SAMPLES = 80
BLUR = 1.2
"""Pixels of the views: a texture finer than the lattice would disagree with itself."""
EDGE = 3
"""Pixels of the views next to the outline that do not count: there, the background shines in."""
SLACK = 0.03
"""How far behind what a view sees a point may lie and still count as seen."""
MISSED = 40.0
"""Disagreement, of 255, where a view shows the object and the shape leaves nothing."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FirstGuess:
    """The signed distance to begin with, (X, Y, Z) on `grid`, and, above 0 within, that of the hollow that is told."""

    sdf: Floats
    grid: Grid
    hollow: Floats | None = None

    def kept_empty(self, grid: Grid) -> Floats | float:
        """The signed distance of the hollow at the points of another lattice; minus infinity where none is told."""
        if self.hollow is None:
            return -np.inf
        places = np.moveaxis((grid.points() - self.grid.origin) / self.grid.voxel, -1, 0)
        return np.asarray(ndimage.map_coordinates(self.hollow, places, order=1, mode="nearest"), np.float32)


def first_guess(hull: Floats, grid: Grid, views: ViewSet) -> FirstGuess:
    """The visual hull, (X, Y, Z) on `grid`, or what is left of it below another top."""
    if views.hollow.size and (vessel := _vessel_as_told(hull, grid, views.hollow)) is not None:
        return vessel
    return FirstGuess(_best_top(hull, grid, views), grid)


def _best_top(hull: Floats, grid: Grid, views: ViewSet) -> Floats:
    """The signed distance of the hull below that of some tops on which the views agree best."""
    consistency = PhotoConsistency.of(views, grid)
    plain = consistency.disagreement(hull)
    level = min(_levelled(hull, grid), key=consistency.disagreement, default=hull)
    best, least = hull, plain
    if (flat := consistency.disagreement(level)) < LEVELLED * plain:
        best, least = level, flat
    tried = [(consistency.disagreement(hollow.shape), hollow) for hollow in _hollowed(level, grid)]
    lowest = min((value for value, _ in tried), default=np.inf)
    if lowest < HOLLOWED * least:
        good = [hollow for value, hollow in tried if value <= NEARLY * lowest]
        shallowest = min(good, key=lambda hollow: hollow.depth)
        # A vessel whose floor no camera sees is hollow all the way; a lid that is only sunk in is not.
        best = (shallowest if shallowest.floor_seen else max(good, key=lambda hollow: hollow.depth)).shape
    return best


@dataclass(frozen=True)
class _Hollow:
    """A shape (X, Y, Z) with a hollow: its depth, and whether the cameras look down on most of its floor."""

    shape: Floats
    depth: float
    floor_seen: bool


@dataclass(frozen=True)
class _View:
    """A view for comparison: camera (3, 4), blurred colours (H, W, 3) and where they count (H, W).

    Its rays (N,) through `pixels` of a smaller picture: origins and directions (N, 3), samples at distances `along`
    (N, S), which are at `places` (1, N, S, 1, 3) of the lattice, as `grid_sample` wants them.
    """

    camera: NDArray[np.float64]
    colours: Floats
    counts: NDArray[np.bool_]
    pixels: NDArray[np.intp]
    origins: Tensor
    directions: Tensor
    along: Tensor
    places: Tensor


@dataclass(frozen=True)
class PhotoConsistency:
    """How well the colours of the views agree on the surface of a shape on a grid."""

    views: list[_View]

    @classmethod
    def of(cls, views: ViewSet, grid: Grid) -> PhotoConsistency:
        return cls([
            _prepared(picture, camera, grid)
            for picture, camera in zip(views.rgba, target_cameras(), strict=True)
            if (picture[..., 3] > 127).any()
        ])  # fmt: skip

    def disagreement(self, sdf: Floats) -> float:
        """Mean standard deviation, of 255, of a surface point's colour over the views that see it.

        `sdf` (X, Y, Z) is the shape on the grid. Points are those that the views' rays meet.
        """
        found = [_first_hits(torch.from_numpy(np.ascontiguousarray(sdf)), view) for view in self.views]
        points = np.concatenate([hits for hits, _, _ in found])
        missed = sum(misses for _, _, misses in found)
        count, mean, square = np.zeros(len(points)), np.zeros((len(points), 3)), np.zeros((len(points), 3))
        for view, (_, depth, _) in zip(self.views, found, strict=True):
            pixels, _ = project(points, view.camera, intrinsics())
            column, row = (np.clip(pixels[:, i].astype(int), 0, VIEW_SIZE - 1) for i in range(2))
            centre = -view.camera[:, :3].T @ view.camera[:, 3]
            near = depth[row * SIZE // VIEW_SIZE, column * SIZE // VIEW_SIZE]
            sees = (np.linalg.norm(points - centre, axis=1) < near + SLACK) & view.counts[row, column]
            colour = sample_image(view.colours, pixels)
            count += sees
            mean += colour * sees[:, None]
            square += colour**2 * sees[:, None]
        several = count > 1
        if not several.any():
            return MISSED
        n = count[several, None]
        variance = (square[several] / n - (mean[several] / n) ** 2) * n / (n - 1)
        deviation = np.sqrt(np.maximum(variance, 0).mean(1)).mean()
        return float((deviation * len(points) + MISSED * missed) / (len(points) + missed))


def smooth_colours(picture: Image, blur: float) -> Floats:
    """(H, W, 3), 0 to 255: the colours of an RGBA picture blurred by so many pixels, without the background's."""
    opacity = picture[..., 3:].astype(np.float32) / 255
    blurred = [ndimage.gaussian_filter(x, (blur, blur, 0)) for x in (picture[..., :3] * opacity, opacity)]
    return np.asarray(blurred[0] / np.maximum(blurred[1], 1e-3))


def _prepared(picture: Image, camera: NDArray[np.float64], grid: Grid) -> _View:
    counts = ndimage.binary_erosion(picture[..., 3] > 127, iterations=EDGE)
    rows, columns = np.indices((SIZE, SIZE)).reshape(2, -1)
    middle = ((np.stack([rows, columns]) + 0.5) * VIEW_SIZE / SIZE).astype(int)
    pixels = np.flatnonzero(counts[middle[0], middle[1]])
    origins, directions = (_tensor(a) for a in pixel_rays(rows[pixels], columns[pixels], camera, SIZE))
    low, high = _tensor(grid.origin), _tensor(grid.high)
    slopes = torch.where(directions.abs() < 1e-8, 1e-8, directions)
    a, b = (low - origins) / slopes, (high - origins) / slopes
    near, far = torch.minimum(a, b).amax(1), torch.maximum(a, b).amin(1)
    # A ray that misses the grid stays at its border, outside of any shape.
    along = near[:, None] + (far - near).clamp_min(0)[:, None] * (torch.arange(SAMPLES) + 0.5) / SAMPLES
    points = origins[:, None] + directions[:, None] * along[..., None]
    places = ((points - low) / (high - low) * 2 - 1).flip(-1)[None, :, :, None]
    return _View(camera, smooth_colours(picture, BLUR), counts, pixels, origins, directions, along, places)


def _first_hits(sdf: Tensor, view: _View) -> tuple[Floats, Floats, int]:
    """Where a view's rays meet the shape: points (M, 3), distances (SIZE, SIZE), inf elsewhere; how many rays miss."""
    along = view.along
    values = F.grid_sample(sdf[None, None], view.places, padding_mode="border", align_corners=True)[0, 0, ..., 0]
    inside = values < 0
    first = inside.float().argmax(1, keepdim=True)
    before = (first - 1).clamp_min(0)
    v0, v1, d0, d1 = (x.gather(1, i)[:, 0] for x in (values, along) for i in (before, first))
    distance = torch.where(first[:, 0] > 0, d0 + (d1 - d0) * (v0 / (v0 - v1)).clamp(0, 1), d1)
    hit = inside.any(1)
    seen = np.full(SIZE * SIZE, np.inf, np.float32)
    seen[view.pixels[hit.numpy()]] = distance[hit].numpy()
    hits = (view.origins + view.directions * distance[:, None])[hit].numpy()
    return hits, seen.reshape(SIZE, SIZE), int((~hit).sum())


def _levelled(hull: Floats, grid: Grid) -> Iterator[Floats]:
    """The hull cut level at some heights, and, since the frame is centred, at their negatives below.

    Yields nothing if nothing rises above the centre: then the views are not of a centred object.
    """
    heights = _heights(grid)
    area = (hull < 0).sum((0, 1))
    upper = np.flatnonzero((area > 0) & (heights > 0))
    if len(upper) == 0:
        return
    shoulder = upper[area[upper] >= WIDE * area[upper].max()][-1]
    for top in np.linspace(heights[shoulder], heights[upper[-1]], RIM_HEIGHTS):
        yield _cut_level(hull, heights, top)


def _cut_level(hull: Floats, heights: NDArray[np.float64], top: float) -> Floats:
    return np.maximum(hull, (np.abs(heights) - top).astype(np.float32))


def _vessel_as_told(hull: Floats, grid: Grid, logits: Floats) -> FirstGuess | None:
    """The hull below its rim with the hollow that is told, see `ViewSet`; None if no rim encloses one."""
    places = _tensor(grid.points() / HALF_EXTENT)[None]
    sampled = F.grid_sample(_tensor(logits)[None, None], places, padding_mode="border", align_corners=True)
    empty = sampled[0, 0].numpy() > 0
    heights = _heights(grid)
    top = _rim(hull, grid)
    level = _cut_level(hull, heights, heights[top] + grid.voxel / 2)
    vessel = level < 0
    vessel[:, :, top:] = vessel[:, :, top, None]  # open above: the wall is beside and below
    # Distances between lattice points come in steps, which would be seen as rings.
    room = ndimage.gaussian_filter((ndimage.distance_transform_edt(vessel) - 0.5) * grid.voxel, SMOOTH) - WALLS[0]
    enclosed = (room > 0).sum((0, 1))
    told = (empty & (room > 0)).sum((0, 1)) / np.maximum(enclosed, 1)
    filled = np.flatnonzero((told < OPEN) & (enclosed > 0) & (np.arange(len(told)) <= top))
    depth = heights[top] - (heights[filled[-1]] if len(filled) else heights[0])
    if enclosed[top] == 0 or depth < SHALLOW:
        return None
    hollow = np.minimum(room, heights - (heights[top] - depth)).astype(np.float32)
    return FirstGuess(np.maximum(level, hollow).astype(np.float32), grid, hollow)


def _rim(hull: Floats, grid: Grid) -> int:
    """The layer at the foot of the cone that outlines leave above an opening: its sides slope as the views do.

    Of anything flat above, too; a dome is cut where it becomes as flat as that.
    """
    radius = np.sqrt((hull < 0).sum((0, 1)) / np.pi) * grid.voxel
    tip = np.where(radius > 0, _heights(grid) + radius * np.tan(np.deg2rad(TARGET_ELEVATION)), -np.inf)
    return int(np.flatnonzero(tip >= tip.max() - RIM_SLACK)[0])


def _disappears(radius: float) -> float:
    """The depth from which on no view shows the floor of a hollow of this radius."""
    return float(2 * radius * np.tan(np.deg2rad(TARGET_ELEVATION)))


def _hollowed(level: Floats, grid: Grid) -> Iterator[_Hollow]:
    """The shape with hollows that are open at the top."""
    heights = _heights(grid)
    inside = level < 0
    layers = np.flatnonzero(inside.any((0, 1)))
    if len(layers) == 0:
        return
    top, bottom = heights[layers[-1]], heights[layers[0]]
    to_wall = np.stack([ndimage.distance_transform_edt(layer) for layer in np.moveaxis(inside, 2, 0)], 2)
    for wall in WALLS:
        room = (to_wall - 0.5) * grid.voxel - wall
        if room[:, :, layers[-1]].max() <= 0:
            continue  # it would have no opening
        disappears = _disappears(room.max())
        for depth in (share * (top - bottom) for share in DEPTHS):
            shape = np.maximum(level, np.minimum(room, heights - (top - depth))).astype(np.float32)
            yield _Hollow(shape, depth, depth < FLOOR_SEEN * disappears)


def _heights(grid: Grid) -> NDArray[np.float64]:
    """(Z,) of the lattice's layers."""
    return np.asarray(grid.origin[2] + grid.voxel * np.arange(grid.shape[2]))


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
