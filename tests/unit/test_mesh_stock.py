"""Meshes from outside become objects like the procedural ones: upright, in their own colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

pytest.importorskip("embreex", reason="data is drawn with the `train` extra")

from unocclude.data import meshes
from unocclude.data.meshes import MeshStock, read_parts
from unocclude.data.objects import merge, random_object
from unocclude.data.renderer import Lighting, ObjectRenderer
from unocclude.errors import InputError

RED, GREEN, BLUE = (200, 20, 20), (20, 200, 20), (20, 20, 200)
EVEN = Lighting(np.array([[0.0, 0.0, 1.0]]), np.zeros((1, 3)), 1.0, 0.0, 1.0)
NAMES = ("tower.obj", "tower.glb")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tower that stands along y, as these formats have it: red below, green above; blue about z = 0.5, the front."""
    picture = Image.new("RGB", (3, 1))
    for k, colour in enumerate((RED, GREEN, BLUE)):
        picture.putpixel((k, 0), colour)
    tower = trimesh.creation.box((1, 3, 1)).subdivide()
    tower.unmerge_vertices()
    middle = tower.triangles_center
    row = np.where(middle[:, 1] > 0, 1, 0)
    row[middle[:, 2] > 0.49] = 2
    uv = np.repeat(np.stack([(row + 0.5) / 3, np.full(len(row), 0.5)], 1), 3, axis=0)
    tower.visual = trimesh.visual.TextureVisuals(
        uv, trimesh.visual.material.SimpleMaterial(image=picture, diffuse=(255, 255, 255, 255))
    )
    for name in NAMES:
        tower.export(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_mesh_stands_upright_in_its_own_colours(folder: Path, name: str) -> None:
    painted = merge("mesh", read_parts(folder / name), np.eye(3))
    np.testing.assert_allclose(np.ptp(painted.vertices, axis=0), [1 / 3, 1 / 3, 1], atol=1e-6)
    renderer = ObjectRenderer(painted, EVEN)

    def looks(azimuth: float, height: int) -> int:
        rgba = renderer.render(azimuth, 0, 64).rgba
        assert rgba[height, 32, 3] == 255
        return int(rgba[height, 32, :3].argmax())

    # glTF's front, +z, looks along -y once z is up: from azimuth 270 it is seen.
    assert [looks(270, row) for row in (20, 44)] == [2, 2]
    assert [looks(90, row) for row in (20, 44)] == [1, 0]
    assert [looks(0, row) for row in (20, 44)] == [1, 0]


def test_edges_stay_sharp_and_round_things_round(tmp_path: Path) -> None:
    box = trimesh.creation.box()
    box.export(tmp_path / "box.ply")
    ball = trimesh.creation.icosphere(3)
    ball.export(tmp_path / "ball.ply")
    assert len(read_parts(tmp_path / "box.ply")[0].mesh.vertices) == 24
    assert len(read_parts(tmp_path / "ball.ply")[0].mesh.vertices) == len(ball.vertices)


def test_what_has_no_shape_or_cannot_be_read_is_left_out(folder: Path) -> None:
    trimesh.creation.box((1, 1, 0.01)).export(folder / "carpet.stl")
    (folder / "broken.ply").write_text("ply\nno more")
    assert read_parts(folder / "carpet.stl") == []
    assert read_parts(folder / "broken.ply") == []
    stock = MeshStock([folder])
    rng = np.random.default_rng(0)
    assert all(len(stock.draw(rng)) == 1 for _ in range(8))
    for name in NAMES:
        (folder / name).unlink()
    with pytest.raises(InputError, match="None of the meshes"):
        MeshStock([folder]).draw(rng)
    with pytest.raises(InputError, match=r"\.obj"):
        MeshStock([folder / "nowhere"])


def test_meshes_join_the_procedural_objects(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = MeshStock([folder])
    families = [random_object(np.random.default_rng(k), stock).family for k in range(20)]
    assert "mesh" in families
    assert len(set(families)) > 2
    monkeypatch.setattr(meshes, "REPAINTED_SHARE", 0.0)
    monkeypatch.setattr(meshes, "RECOLOURED_SHARE", 1.0)
    red = np.array([[0.5 / 3, 0.5, 0.0]])
    drawn = [stock.draw(np.random.default_rng(k))[0].texture(red[:, 0], red[:, 1], red) for k in range(12)]
    assert {int(colour.argmax()) for colour in drawn} == {0, 1, 2}
