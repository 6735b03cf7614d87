"""The photograph's camera, as the backend tells it and as Blender wants it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, TypeAlias

from ..wire.errors import UnoccludeError

Vector: TypeAlias = "tuple[float, float, float]"
Rows: TypeAlias = "tuple[Vector, Vector, Vector]"


@dataclass(frozen=True)
class Fit:
    """A Blender camera's settings. focal: in heights of the sensor if `vertical`, else in widths; shifts as there."""

    vertical: bool
    focal: float
    shift_x: float
    shift_y: float


@dataclass(frozen=True)
class PhotographCamera:
    """A pinhole camera. Its world is the mesh's: z up, the object's middle at the origin.

    focal, centre: in pixels of the photograph, x right, y down, (0, 0) at the corner of the top left pixel. rotation
    (rows), translation: from the world to the camera's axes: x right, y down, z forward. size: width and height of the
    photograph in pixels.
    """

    focal: float
    centre: tuple[float, float]
    rotation: Rows
    translation: Vector
    size: tuple[int, int]

    @classmethod
    def from_report(cls, report: Mapping[str, Any], size: tuple[int, int]) -> PhotographCamera:
        """From a job's report.json. Raises UnoccludeError where it tells no camera."""
        try:
            (focal, _, x), (_, _, y), _ = report["camera"]["intrinsics"]
            rows = [tuple(map(float, row)) for row in report["camera"]["world_to_camera"]]
            right, down, forward = ((a, b, c) for a, b, c, _ in rows)
            tx, ty, tz = (row[3] for row in rows)
            return cls(float(focal), (float(x), float(y)), (right, down, forward), (tx, ty, tz), size)
        except (KeyError, TypeError, ValueError) as error:
            raise UnoccludeError(
                f"The job does not tell the photograph's camera ({error!r}).",
                "Update the add-on and the backend to the same version.",
            ) from error

    @property
    def distance(self) -> float:
        """From the camera to the object's middle."""
        return sqrt(sum(value * value for value in self.translation))

    @property
    def location(self) -> Vector:
        """Of the camera in the world."""
        x, y, z = (-sum(self.rotation[k][axis] * self.translation[k] for k in range(3)) for axis in range(3))
        return x, y, z

    @property
    def axes(self) -> Rows:
        """The camera's orientation as Blender has it, a rotation's rows: it looks along its -z axis, y is up."""
        right, down, forward = self.rotation
        first, second, third = ((r, -d, -f) for r, d, f in zip(right, down, forward, strict=True))
        return first, second, third

    def fit(self, frame_aspect: float) -> Fit:
        """For a Blender camera whose frame (its width by its height) shows the whole photograph, as large as can be."""
        width, height = self.size
        vertical = frame_aspect > width / height
        unit = height if vertical else width
        return Fit(
            vertical,
            self.focal / unit,
            (width / 2 - self.centre[0]) / unit,
            (self.centre[1] - height / 2) / unit,
        )

    def project(self, points: Iterable[Sequence[float]]) -> list[tuple[float, float]]:
        """Where points of the world are in the photograph, in pixels. They have to lie in front of the camera."""
        (a, b, c), (d, e, f), (g, h, i) = self.rotation
        tx, ty, tz = self.translation
        focal, (cx, cy) = self.focal, self.centre
        places = []
        for x, y, z in points:
            depth = g * x + h * y + i * z + tz
            across, down = a * x + b * y + c * z + tx, d * x + e * y + f * z + ty
            places.append((cx + focal * across / depth, cy + focal * down / depth))
        return places
