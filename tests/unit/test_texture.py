from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from shapes_in_view import box, position_colour, sphere, views_of
from unocclude.cameras import intrinsics, target_cameras
from unocclude.evaluation.surface import views_psnr
from unocclude.pipeline.rasterise import project, rasterise, render, sample_texture
from unocclude.pipeline.texture import texture_surface, unwrap
from unocclude.pipeline.types import FrontView, Surface, TexturedMesh, ViewSet


def surface_of(mesh: object) -> Surface:
    fine = mesh.subdivide().subdivide() if len(mesh.faces) < 100 else mesh
    return Surface(np.asarray(fine.vertices, np.float32), np.asarray(fine.faces, np.int32))


@pytest.fixture(scope="module")
def ball() -> tuple[Surface, ViewSet, TexturedMesh]:
    surface, views = surface_of(sphere()), views_of(sphere())
    return surface, views, texture_surface(surface, views, size=512)


def test_unwrapping_keeps_the_shape_and_charts_do_not_overlap() -> None:
    surface = surface_of(box())
    vertices, faces, uv = unwrap(surface, 256)
    np.testing.assert_array_equal(vertices[faces], surface.vertices[surface.faces])
    assert uv.min() >= 0
    assert uv.max() <= 1
    corners = uv[faces]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2
    flat = np.column_stack([uv * 256, np.ones(len(uv))])
    covered = (rasterise(flat, faces, np.eye(3, 4), np.eye(3), 256).face >= 0).mean()
    assert covered == pytest.approx(area, rel=0.03)  # overlapping charts would cover less than their area


def test_seen_texels_have_the_colour_of_their_place(ball: tuple[Surface, ViewSet, TexturedMesh]) -> None:
    _, views, mesh = ball
    above = mesh.vertices[:, 2] > -0.2
    wanted = position_colour(mesh.vertices[above])
    assert np.abs(sample_texture(mesh.texture, mesh.uv[above]) - wanted).mean() < 4
    assert views_psnr(mesh, views) > 30


def test_unseen_texels_take_colours_from_around(ball: tuple[Surface, ViewSet, TexturedMesh]) -> None:
    _, _, mesh = ball
    below = mesh.vertices[:, 2] < -0.39
    colours = sample_texture(mesh.texture, mesh.uv[below])
    assert np.abs(colours[:, :2] - 127).max() < 90  # no bright foreign colour, no background
    assert colours[:, 2].mean() < 80  # z = -0.2: lower, views see the ball only where its outline mixes with white


def test_views_that_show_nothing_leave_the_mesh_grey() -> None:
    mesh = texture_surface(surface_of(sphere()), ViewSet(np.zeros((16, 256, 256, 4), np.uint8)), size=256)
    assert (mesh.texture == 128).all()


def test_what_is_hidden_from_a_view_is_not_painted_by_it() -> None:
    post, wall = box(0.1, 0.1, 0.6), box(0.1, 0.8, 0.6)
    post.apply_translation([0.3, 0, 0])
    wall.apply_translation([-0.3, 0, 0])
    both = post + wall
    vertices, faces = np.asarray(both.vertices), np.asarray(both.faces)
    rgba = np.zeros((16, 256, 256, 4), np.uint8)
    for picture, camera in zip(rgba, target_cameras(), strict=True):
        face = rasterise(vertices, faces, camera, intrinsics(), 256).face
        picture[face >= 0] = [0, 0, 255, 255]
        picture[(face >= 0) & (face < len(post.faces))] = [255, 0, 0, 255]
    mesh = texture_surface(surface_of(both), ViewSet(rgba), size=512)
    on_wall = mesh.vertices[:, 0] < -0.2
    colours = sample_texture(mesh.texture, mesh.uv[on_wall])
    assert (colours[:, 0] > 60).mean() < 0.02


def test_the_background_never_shines_in() -> None:
    views = views_of(sphere())
    blue = np.full_like(views.rgba, 255)  # a white background, and white mixed into the outermost pixels
    blue[..., 3] = views.rgba[..., 3]
    for picture in blue:
        outline = picture[..., 3] > 0
        picture[ndimage.binary_erosion(outline, iterations=2), :3] = [0, 0, 200]
        picture[outline & ~ndimage.binary_erosion(outline, iterations=2), :3] = [128, 128, 228]
    for radius in (0.39, 0.4, 0.41):
        mesh = texture_surface(surface_of(sphere(radius)), ViewSet(blue), size=256)
        colours = sample_texture(mesh.texture, mesh.uv)
        assert colours[:, :2].max() < 3
        assert np.abs(colours[:, 2] - 200).max() < 3


def test_the_photograph_adds_detail_where_it_agrees(ball: tuple[Surface, ViewSet, TexturedMesh]) -> None:
    surface, views, plain = ball
    size = 768
    camera, k = target_cameras()[0], intrinsics(size)
    drawn = render(plain, camera, k, size)
    left = np.arange(size) < size // 2
    rows = np.indices((size, size))[0]
    photograph = drawn.astype(np.float32)
    photograph[..., 1] += np.where(rows // 8 % 2 == 0, 40, -40)  # stripes that the views cannot show
    photograph[:, ~left, :3] = 255 - photograph[:, ~left, :3]  # and a half that contradicts them
    front = FrontView(np.clip(photograph, 0, 255).astype(np.uint8), camera, k)
    detailed = render(texture_surface(surface, views, front, size=1024), camera, k, size)

    middle = np.zeros((size, size), bool)
    middle[320:450, 240:530] = True
    agreeing, contradicting = middle & (np.arange(size) < 340), middle & (np.arange(size) > 430)
    change = detailed[..., 1].astype(float) - drawn[..., 1]
    assert np.corrcoef(change[agreeing], (photograph - drawn)[..., 1][agreeing])[0, 1] > 0.8
    assert np.abs(change[agreeing]).mean() > 20
    assert np.abs(change[contradicting]).mean() < 5


def test_projection_matches_the_cameras() -> None:
    pixels, _ = project(np.array([[0.0, 0.0, 0.5]]), target_cameras()[0], intrinsics())
    assert pixels[0, 1] < 128  # up in the world is up in the picture
