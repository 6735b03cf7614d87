"""Procedural data: exact, varied, the same for the same seed, resumable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("embreex", reason="rendering needs the `train` extra")

from unocclude import cameras
from unocclude.data import library, pairs, scenes
from unocclude.data.backgrounds import Backgrounds
from unocclude.data.families import FAMILIES
from unocclude.data.library import ObjectLibrary, render_object, write_library
from unocclude.data.objects import PaintedObject, merge, random_object
from unocclude.data.pairs import PairLibrary, draw_pair, write_pairs
from unocclude.data.renderer import ObjectRenderer, random_lighting
from unocclude.data.scenes import Mask, Scene, SceneMaker, SceneSource
from unocclude.errors import InputError
from unocclude.protocol import Prompt


def painted(family: str, seed: int) -> PaintedObject:
    return merge(family, FAMILIES[family][0](np.random.default_rng(seed)), np.eye(3))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_fills_the_unit_cube_and_is_seen(family: str) -> None:
    for seed in range(3):
        thing = painted(family, seed)
        extent = np.ptp(thing.vertices, axis=0)
        assert extent.max() == pytest.approx(1)
        assert np.abs(thing.vertices).max() == pytest.approx(0.5)
        picture = ObjectRenderer(thing, random_lighting(np.random.default_rng(0))).render(0, 20, 64)
        assert (picture.rgba[..., 3] == 255).mean() > 0.01
        assert np.array_equal(picture.depth > 0, picture.rgba[..., 3] > 0)


def test_depth_and_silhouette_agree_with_the_camera() -> None:
    """Every drawn pixel, taken back to the world by its depth, lies on the object's bounding box or inside."""
    picture = ObjectRenderer(painted("box", 1), random_lighting(np.random.default_rng(0))).render(40, 30, 128)
    rows, columns = np.nonzero(picture.depth)
    z = picture.depth[rows, columns]
    k, pose = cameras.intrinsics(128), cameras.world_to_camera(40, 30)
    seen = np.stack([(columns + 0.5 - 64) / k[0, 0] * z, (rows + 0.5 - 64) / k[1, 1] * z, z], -1)
    world = (seen - pose[:, 3]) @ pose[:, :3]
    assert np.abs(world).max() < 0.5 + 1e-4


def test_the_same_seed_makes_the_same_object() -> None:
    a, b, c = render_object(7, 3), render_object(7, 3), render_object(7, 4)
    assert np.array_equal(a.queries, b.queries)
    assert np.array_equal(a.targets, b.targets)
    assert not np.array_equal(a.targets, c.targets)


def test_objects_differ() -> None:
    families = {random_object(np.random.default_rng(k)).family for k in range(60)}
    assert len(families) >= len(FAMILIES) - 4


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objects")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "OBJECTS_PER_SHARD", 4)
        list(write_library(folder, 8, 5, 1))
    return folder


def test_a_finished_shard_is_kept(shards: Path) -> None:
    before = [p.stat().st_mtime_ns for p in sorted(shards.iterdir())]
    assert list(write_library(shards, 2 * library.OBJECTS_PER_SHARD, 5, 1)) == []
    assert [p.stat().st_mtime_ns for p in sorted(shards.iterdir())] == before


def test_pairs_are_the_same_from_any_process(shards: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "OBJECTS_PER_SHARD", 4)
    monkeypatch.setattr(pairs, "PAIRS_PER_SHARD", 2)
    source = SceneSource(shards, ())
    assert len(list(write_pairs(tmp_path, source, 4, 3, 2))) == 2
    drawn, expected = PairLibrary.in_folder(tmp_path)[3], draw_pair(source.maker(), pairs.bundled_segmenter(), 3, 3)
    assert np.array_equal(drawn.image, expected.image)
    assert np.array_equal(drawn.whole, expected.whole)


def test_scenes_hide_what_was_asked_for(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "OBJECTS_PER_SHARD", 4)
    maker = SceneMaker(ObjectLibrary.in_folder(shards), Backgrounds([]))
    for seed in range(4):
        scene = maker.draw(np.random.default_rng(seed))
        hidden = 1 - scene.visible.sum() / scene.amodal.sum()
        assert 0.2 <= hidden <= 0.7
        assert not (scene.visible & scene.occluder).any()
        assert not (scene.visible & ~scene.amodal).any()
    pair, again = (draw_pair(maker, pairs.bundled_segmenter(), 1, 0) for _ in range(2))
    assert np.array_equal(pair.image, again.image)
    assert pair.whole.shape == (256, 256, 4)
    assert set(np.unique(pair.visible)) == {0, 255}


class OneThing:
    """A segmenter that finds the same whatever it is shown."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def embed(self, image: object) -> OneThing:
        return self

    def mask(self, prompt: Prompt) -> Mask:
        if not self._mask.any():
            raise InputError("Nothing.", "Click elsewhere.")
        return self._mask


def test_a_mask_from_a_click_counts_where_it_is_of_the_object() -> None:
    visible, piece, beside = np.zeros((3, 64, 64), bool)
    visible[10:50, 10:50], piece[12:30, 12:40], beside[30:60, 45:60] = True, True, True
    nothing = np.zeros((64, 64, 4), np.uint8)
    scene = Scene(nothing[..., :3], nothing, visible, visible, beside)

    def clicked(found: Mask) -> Mask:
        return pairs._clicked(scene, OneThing(found), np.random.default_rng(0))  # type: ignore[arg-type]

    assert np.array_equal(clicked(piece), piece), "it lacks a piece, as clicks do"
    for useless in (beside, np.zeros_like(visible), np.ones_like(visible)):
        assert np.array_equal(clicked(useless), visible)


def test_a_print_leaves_the_light_on_an_object() -> None:
    colours = np.full((2, 2, 3), 200, np.uint8)
    colours[:, 1] = 50
    printed = scenes._printed(colours, np.full((2, 2, 3), (0, 255, 255), np.uint8), np.random.default_rng(0))
    assert (printed[..., 1] > printed[..., 0]).all(), "the photograph's colour"
    assert printed[0, 0, 1] > 3 * printed[0, 1, 1], "in the shadow as dark as before"
