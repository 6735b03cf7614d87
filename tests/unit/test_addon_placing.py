"""The photograph's camera, silhouettes and masks, without Blender."""

from __future__ import annotations

import io
from array import array

import numpy as np
import pytest
from addon.wire.errors import UnoccludeError
from PIL import Image as Picture
from unocclude import cameras
from unocclude.pipeline.rasterise import rasterise

from addon.core.camera import PhotographCamera
from addon.core.png import MaskFormatError, read_mask
from addon.core.silhouette import draw, drawing_of, intersection_over_union

WIDTH, HEIGHT = 200, 150
REPORT = {
    "camera": {
        "intrinsics": [[180.0, 0.0, 90.0], [0.0, 180.0, 80.0], [0.0, 0.0, 1.0]],
        "world_to_camera": cameras.world_to_camera(0, 25).tolist(),
    }
}
CAMERA = PhotographCamera.from_report(REPORT, (WIDTH, HEIGHT))


def png(pixels: np.ndarray, **options: object) -> bytes:
    data = io.BytesIO()
    Picture.fromarray(pixels).save(data, "PNG", **options)
    return data.getvalue()


def as_array(rows: list[int], width: int) -> np.ndarray:
    return np.array([[row >> x & 1 for x in range(width)] for row in rows], bool)


def test_the_camera_projects_as_the_backend_does() -> None:
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))
    seen = points @ CAMERA_ROTATION.T + CAMERA_TRANSLATION
    expected = 180 * seen[:, :2] / seen[:, 2:] + (90, 80)
    assert np.allclose(CAMERA.project(points.tolist()), expected)
    assert CAMERA.distance == pytest.approx(1.5)
    assert CAMERA.location == pytest.approx((-CAMERA_ROTATION.T @ CAMERA_TRANSLATION).tolist())


CAMERA_ROTATION, CAMERA_TRANSLATION = np.split(cameras.world_to_camera(0, 25), [3], axis=1)
CAMERA_TRANSLATION = CAMERA_TRANSLATION[:, 0]


def test_no_camera_is_said() -> None:
    with pytest.raises(UnoccludeError, match="camera"):
        PhotographCamera.from_report({}, (1, 1))


def test_the_silhouette_is_the_backends() -> None:
    """Against the backend's own rasteriser, on triangles of all sizes."""
    random = np.random.default_rng(1)
    vertices = random.uniform(-0.4, 0.4, (300, 3))
    faces = random.integers(0, 300, (40, 3))
    size = 160
    k = np.array([[100.0, 0, 80.0], [0, 100.0, 80.0], [0, 0, 1]])
    camera = PhotographCamera.from_report(
        {"camera": {"intrinsics": k.tolist(), "world_to_camera": REPORT["camera"]["world_to_camera"]}}, (size, size)
    )
    drawn = draw(camera.project(vertices.tolist()), array("i", faces.ravel().tolist()), size, size)
    expected = rasterise(vertices, faces, np.array(REPORT["camera"]["world_to_camera"]), k, size).face >= 0
    assert np.mean(as_array(drawn, size) != expected) < 0.002


def test_the_same_silhouette_covers_itself() -> None:
    square = draw([(2, 2), (8, 2), (8, 8), (2, 8)], array("i", [0, 1, 2, 0, 2, 3]), 10, 10)
    assert as_array(square, 10)[2:8, 2:8].all()
    assert as_array(square, 10).sum() == 36
    half = draw([(2, 2), (5, 2), (5, 8), (2, 8)], array("i", [0, 1, 2, 0, 2, 3]), 10, 10)
    assert intersection_over_union(square, square) == 1
    assert intersection_over_union(half, square) == 0.5
    assert intersection_over_union([0], [0]) == 0


def test_what_is_drawn_are_the_runs_of_the_rows() -> None:
    silhouette = [0b0110, 0b1011, 0, 0b1000]
    quarters = [(1, 3, 3, 4), (0, 2, 2, 3), (3, 2, 4, 3), (3, 0, 4, 1)]
    assert drawing_of(silhouette, 4).rectangles == [tuple(value / 4 for value in quarter) for quarter in quarters]
    assert drawing_of(silhouette, 4, most_rows=2).rectangles == [(0.25, 0.5, 0.75, 1)]


def test_edges_lie_all_around() -> None:
    ring = [0b000, 0b111, 0b101, 0b111]
    edges = {frozenset((round(3 * x), round(4 * y)) for x, y in edge) for edge in drawing_of(ring, 3).edges}
    outside = {((0, 0), (3, 0)), ((0, 3), (3, 3))} | {((x, y), (x, y + 1)) for x in (0, 3) for y in range(3)}
    hole = {((1, 1), (2, 1)), ((1, 2), (2, 2)), ((1, 1), (1, 2)), ((2, 1), (2, 2))}
    assert edges == {frozenset(edge) for edge in outside | hole}


def test_outside_of_the_picture_is_cut_off() -> None:
    everything = draw([(-50, -50), (500, -50), (-50, 500)], array("i", [0, 1, 2]), 10, 8)
    assert as_array(everything, 10).all()
    assert draw([(20, 20), (30, 20), (20, 30)], array("i", [0, 1, 2]), 10, 8) == [0] * 8


@pytest.mark.parametrize("optimize", [False, True])
def test_masks_are_read_as_pillow_reads_them(optimize: bool) -> None:
    y, x = np.mgrid[:60, :90]
    disc = ((x - 40) ** 2 + (y - 30) ** 2 < 500).astype(np.uint8) * 255
    noise = np.random.default_rng(2).integers(0, 256, (60, 90), np.uint8)
    for pixels in (
        disc,
        disc[::-1, ::2].repeat(2, axis=1),
        noise,
        np.cumsum(noise, axis=1, dtype=np.uint8),
        (x + 2 * y).astype(np.uint8),
    ):
        rows, width, height = read_mask(png(pixels, optimize=optimize))
        assert (width, height) == (90, 60)
        assert np.array_equal(as_array(rows, width), pixels > 127)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", png(np.zeros((4, 4, 3), np.uint8)), png(np.zeros((4, 4), np.uint8))[:60]]
)
def test_what_is_no_mask_is_refused(data: bytes) -> None:
    with pytest.raises(MaskFormatError):
        read_mask(data)
