"""Triangle meshes of household forms: lathes, superellipsoids, boxes, swept tubes, and their deformations.

Every function returns a `Mesh` in its own frame, z up, about unit size; `objects.py` puts them together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mesh:
    """vertices (V, 3) float64, faces (F, 3) int64, outward winding."""

    vertices: Floats
    faces: NDArray[np.int64]

    def moved(self, scale: object = 1.0, rotation: Floats | None = None, offset: object = 0.0) -> Mesh:
        """Scaled (number or per axis), then rotated (3, 3), then shifted."""
        points = self.vertices * np.asarray(scale, dtype=float)
        if rotation is not None:
            points = points @ rotation.T
        return Mesh(points + np.asarray(offset, dtype=float), self.faces)


def grid_faces(rows: int, columns: int) -> NDArray[np.int64]:
    """Two triangles for each cell of a (rows, columns) vertex grid whose columns wrap around."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    a = r * columns + c
    b = r * columns + (c + 1) % columns
    lower = np.stack([a, b, b + columns], -1)
    upper = np.stack([a, b + columns, a + columns], -1)
    return np.concatenate([lower, upper]).reshape(-1, 3)


def lathe(radii: Floats, heights: Floats, segments: int = 64) -> Mesh:
    """A profile, from bottom to top, turned about z. Radius 0 at both ends closes it."""
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    x = radii[:, None] * np.cos(angle)
    y = radii[:, None] * np.sin(angle)
    z = np.broadcast_to(heights[:, None], x.shape)
    return Mesh(np.stack([x, y, z], -1).reshape(-1, 3), grid_faces(len(radii), segments))


def solid_profile(radii: Floats, heights: Floats, samples: int = 40) -> tuple[Floats, Floats]:
    """A wall through the given points, smoothly interpolated, with a flat bottom and top."""
    t = np.linspace(0, 1, len(radii))
    fine = np.linspace(0, 1, samples)
    wall_r, wall_z = np.interp(fine, t, radii), np.interp(fine, t, heights)
    kernel = np.array([1, 2, 3, 2, 1]) / 9
    smooth = np.convolve(np.pad(wall_r, 2, mode="edge"), kernel, mode="valid")
    bevel = 0.97
    r = np.concatenate([[0, smooth[0] * bevel], smooth, [smooth[-1] * bevel, 0]])
    low, high = wall_z[0], wall_z[-1]
    thickness = 0.01 * (high - low)
    z = np.concatenate([[low, low], wall_z + np.linspace(thickness, -thickness, samples), [high, high]])
    return r, z


def hollow_profile(radii: Floats, heights: Floats, wall: float) -> tuple[Floats, Floats]:
    """An open vessel: the outer wall up, over the rim, the inner wall down to a floor of thickness `wall`."""
    r, z = solid_profile(radii, heights)
    outer_r, outer_z = r[:-2], z[:-2]
    inner_r = np.maximum(outer_r[1:] - wall, 0.0)[::-1]
    inner_z = np.maximum(outer_z[1:], outer_z[0] + wall)[::-1]
    return np.concatenate([outer_r, inner_r, [0.0]]), np.concatenate([outer_z, inner_z, [outer_z[0] + wall]])


def superellipsoid(size: Floats, vertical: float, horizontal: float, rows: int = 40, columns: int = 64) -> Mesh:
    """Barr's superquadric: exponents 1 make an ellipsoid, 0.2 a rounded box, 2 an octahedron. `size`: full sides."""

    def power(value: Floats, exponent: float) -> Floats:
        return np.sign(value) * np.abs(value) ** exponent

    # Spread the samples where a small exponent bunches them: near the edges of the box.
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rows)[:, None]
    longitude = np.linspace(-np.pi, np.pi, columns, endpoint=False)[None, :]
    x = power(np.cos(latitude), vertical) * power(np.cos(longitude), horizontal)
    y = power(np.cos(latitude), vertical) * power(np.sin(longitude), horizontal)
    z = power(np.sin(latitude), vertical) * np.ones_like(longitude)
    return Mesh(np.stack([x, y, z], -1).reshape(-1, 3) * (np.asarray(size) / 2), grid_faces(rows, columns))


def box(size: Floats, taper: float = 1.0) -> Mesh:
    """A sharp-edged box centred at 0; the top is `taper` times the bottom. Vertices are split at the edges."""
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    corners[corners[:, 2] > 0, :2] *= taper
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    vertices = np.concatenate([corners[list(side)] for side in sides]) * np.asarray(size)
    return Mesh(vertices, _quad_faces(len(sides)))


def _quad_faces(count: int) -> NDArray[np.int64]:
    """Two triangles for each four consecutive vertices."""
    return np.concatenate([[[4 * k, 4 * k + 1, 4 * k + 2], [4 * k, 4 * k + 2, 4 * k + 3]] for k in range(count)])


def gable(size: Floats, ridge: float) -> Mesh:
    """A drinks carton's top: a roof over a (x, y) rectangle, a standing fin of height `ridge` along x on its ridge."""
    sx, sy, sz = np.asarray(size) / np.array([2, 2, 1])
    t = 0.06 * sy
    p = np.array(
        [
            [-sx, -sy, 0], [sx, -sy, 0], [sx, sy, 0], [-sx, sy, 0],
            [-sx, -t, sz], [sx, -t, sz], [sx, t, sz], [-sx, t, sz],
            [-sx, -t, sz + ridge], [sx, -t, sz + ridge], [sx, t, sz + ridge], [-sx, t, sz + ridge],
        ]
    )  # fmt: skip
    quads = [
        (0, 1, 5, 4), (2, 3, 7, 6), (4, 5, 9, 8), (6, 7, 11, 10), (8, 9, 10, 11),
        (1, 2, 6, 5), (3, 0, 4, 7), (5, 6, 10, 9), (7, 4, 8, 11),
    ]  # fmt: skip
    vertices = np.concatenate([p[list(q)] for q in quads])
    return Mesh(vertices, _quad_faces(len(quads)))


def tube(path: Floats, radii: Floats, flatten: float = 1.0, segments: int = 20) -> Mesh:
    """A round section swept along `path` (K, 3), a radius per point, ends closed. `flatten` scales one section axis."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    # The least-used axis is never along the path, so it makes a stable frame for gently bent sweeps.
    reference = np.eye(3)[np.argmin(np.abs(tangent).max(axis=0))]
    side = np.cross(tangent, reference)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-12
    up = np.cross(side, tangent)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    ring = np.cos(angle)[None, :, None] * side[:, None] + flatten * np.sin(angle)[None, :, None] * up[:, None]
    rings = path[:, None] + radii[:, None, None] * ring
    rings = np.concatenate([np.repeat(path[:1, None], segments, 1), rings, np.repeat(path[-1:, None], segments, 1)])
    return Mesh(rings.reshape(-1, 3), grid_faces(len(rings), segments))


def loop(path: Floats, radii: Floats, flatten: float = 1.0, segments: int = 20) -> Mesh:
    """As `tube`, but `path` (K, 3) comes back to its start: rings, wreaths, tyres. Needs a path about the z axis."""
    tangent = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, tangent)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    ring = np.cos(angle)[None, :, None] * side[:, None] + flatten * np.sin(angle)[None, :, None] * up[:, None]
    rings = path[:, None] + radii[:, None, None] * ring
    return Mesh(np.concatenate([rings, rings[:1]]).reshape(-1, 3), grid_faces(len(path) + 1, segments))


def loft(sections: Floats, squareness: float, segments: int = 40) -> Mesh:
    """Through sections along x, ends closed: rows of (x, y centre, z bottom, width, height), (K, 5).

    `squareness` 1 gives ellipses, below that the sections become boxier.
    """
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    y, z = (np.sign(f(angle)) * np.abs(f(angle)) ** squareness / 2 for f in (np.cos, np.sin))
    x, centre, bottom, width, height = (column[:, None] for column in sections.T)
    rings = np.stack([x + 0 * y, centre + width * y, bottom + height * (z + 0.5)], -1)
    ends = [np.repeat(r.mean(axis=0)[None, None], segments, 1) for r in (rings[0], rings[-1])]
    closed = np.concatenate([ends[0], rings, ends[1]])
    return Mesh(closed.reshape(-1, 3), grid_faces(len(closed), segments)[:, ::-1])


def bent(mesh: Mesh, degrees: float) -> Mesh:
    """Bent about the y axis: the z extent becomes an arc of `degrees`."""
    if abs(degrees) < 1e-3:
        return mesh
    low, high = mesh.vertices[:, 2].min(), mesh.vertices[:, 2].max()
    radius = (high - low) / np.deg2rad(degrees)
    theta = (mesh.vertices[:, 2] - (low + high) / 2) / radius
    x = radius - (radius - mesh.vertices[:, 0]) * np.cos(theta)
    z = (radius - mesh.vertices[:, 0]) * np.sin(theta)
    return Mesh(np.stack([x, mesh.vertices[:, 1], z], -1), mesh.faces)


def lumpy(mesh: Mesh, amount: float, rng: np.random.Generator) -> Mesh:
    """Low-frequency waves along the direction from the centre: fruit, dough, worn toys."""
    centre = mesh.vertices.mean(axis=0)
    offset = mesh.vertices - centre
    direction = offset / (np.linalg.norm(offset, axis=1, keepdims=True) + 1e-9)
    wave = np.zeros(len(offset))
    for _ in range(4):
        wave += np.sin(direction @ rng.normal(0, 2.5, 3) + rng.uniform(0, 2 * np.pi))
    return Mesh(centre + offset * (1 + amount * wave[:, None] / 2), mesh.faces)
