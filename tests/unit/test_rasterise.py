from __future__ import annotations

import numpy as np
import pytest
from shapes_in_view import box
from unocclude.cameras import intrinsics, target_cameras, world_to_camera
from unocclude.pipeline.rasterise import project, rasterise, render, sample_image
from unocclude.pipeline.types import TexturedMesh


def square(z: float) -> tuple[np.ndarray, np.ndarray]:
    """A square of half side 0.2 facing +x, at x = z."""
    corners = np.array([[z, -0.2, -0.2], [z, 0.2, -0.2], [z, 0.2, 0.2], [z, -0.2, 0.2]])
    return corners, np.array([[0, 1, 2], [0, 2, 3]])


def test_covers_the_projected_area_and_knows_its_depth() -> None:
    vertices, faces = square(0.0)
    raster = rasterise(vertices, faces, world_to_camera(0, 0), intrinsics(), 256)
    covered = raster.face >= 0
    half = 0.2 * 280 / 1.5
    assert covered.sum() == pytest.approx((2 * half) ** 2, rel=0.03)
    np.testing.assert_allclose(raster.depth[covered], 1.5, rtol=1e-5)
    assert np.isinf(raster.depth[~covered]).all()
    np.testing.assert_allclose(raster.weights[covered].sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
def test_the_nearer_face_wins_whatever_the_order(flip: bool) -> None:
    (near, faces), (far, _) = square(0.1), square(-0.1)
    vertices = np.concatenate([far, near] if flip else [near, far])
    raster = rasterise(vertices, np.concatenate([faces, faces + 4]), world_to_camera(0, 0), intrinsics(), 256)
    np.testing.assert_allclose(raster.depth[128, 128], 1.4, rtol=1e-5)


def test_neighbouring_faces_leave_no_gap_and_a_solid_is_seen_whole() -> None:
    mesh = box()
    raster = rasterise(mesh.vertices, mesh.faces, target_cameras()[1], intrinsics(), 256)
    covered = raster.face >= 0
    rows = np.flatnonzero(covered.any(1))
    for row in rows:
        columns = np.flatnonzero(covered[row])
        assert len(columns) == np.ptp(columns) + 1


def test_faces_behind_the_camera_are_left_out() -> None:
    vertices, faces = square(2.0)
    assert (rasterise(vertices, faces, world_to_camera(0, 0), intrinsics(), 64).face == -1).all()


def test_depth_of_a_slanted_face_is_perspective_correct() -> None:
    vertices = np.array([[0.4, -0.3, 0], [-0.4, 0.3, -0.3], [-0.4, 0.3, 0.3]])
    camera = world_to_camera(0, 0)
    raster = rasterise(vertices, np.array([[0, 1, 2]]), camera, intrinsics(), 256)
    rows, columns = np.nonzero(raster.face >= 0)
    rays = np.column_stack([columns + 0.5, rows + 0.5, np.ones(len(rows))]) @ np.linalg.inv(intrinsics()).T
    points = (rays * raster.depth[rows, columns, None] - camera[:, 3]) @ camera[:, :3]
    normal = np.cross(vertices[1] - vertices[0], vertices[2] - vertices[0])
    np.testing.assert_allclose((points - vertices[0]) @ normal, 0, atol=1e-6)


def test_render_puts_the_texture_the_right_way_up() -> None:
    vertices, faces = square(0.0)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:32, :, 0] = 255  # red above
    texture[:, 32:, 2] = 255  # blue on the right: +y is right for a camera at +x
    mesh = TexturedMesh(vertices.astype(np.float32), faces.astype(np.int32), uv, texture)
    picture = render(mesh, world_to_camera(0, 0), intrinsics(), 256)
    assert picture[110, 110].tolist() == [255, 0, 0, 255]
    assert picture[110, 146].tolist() == [255, 0, 255, 255]
    assert picture[146, 110].tolist() == [0, 0, 0, 255]
    assert picture[5, 5, 3] == 0


def test_a_straight_alpha_edge_keeps_its_colour() -> None:
    vertices, faces = square(0.0)
    mesh = TexturedMesh(
        vertices.astype(np.float32), faces.astype(np.int32), np.full((4, 2), 0.5, np.float32),
        np.full((8, 8, 3), 200, np.uint8),
    )  # fmt: skip
    picture = render(mesh, world_to_camera(10, 5), intrinsics(), 128)
    partial = (picture[..., 3] > 0) & (picture[..., 3] < 255)
    assert partial.any()
    assert (picture[partial, :3] == 200).all()


def test_project_and_sample_agree_on_pixel_centres() -> None:
    pixels, depth = project(np.zeros((1, 3)), world_to_camera(40, 20), intrinsics())
    np.testing.assert_allclose(pixels, 128, atol=1e-4)
    np.testing.assert_allclose(depth, 1.5, rtol=1e-6)
    image = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    values = sample_image(image, np.array([[1.5, 0.5], [2.0, 1.0], [-5, -5], [99, 99]]))
    np.testing.assert_allclose(values[:, 0], [1, 3.5, 0, 11])
