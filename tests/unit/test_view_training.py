"""The view model's trainings see what it sees when it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

pytest.importorskip("matplotlib", reason="training needs the `train` extra")

from unocclude.cameras import target_cameras
from unocclude.data import inputs, library
from unocclude.data.inputs import read_inputs, write_inputs
from unocclude.data.library import QUERY_VIEWS, ObjectLibrary, write_library
from unocclude.data.outlined import outlined
from unocclude.data.scenes import SceneSource
from unocclude.models.input_view import prepare
from unocclude.models.registry import BUNDLED
from unocclude.models.syncdreamer import SyncDreamer
from unocclude.models.view_guess import SIDE
from unocclude.models.volumes import project, volume_vertices
from unocclude.models.weights import load_bundled, save_bundled
from unocclude.training import guess, hollows, object_bank, views
from unocclude.training.elevation import ElevationTask
from unocclude.training.guess import GuessTask, seen_in
from unocclude.training.hollows import HollowsTask
from unocclude.training.object_bank import ELEVATION_ERROR, ObjectBank
from unocclude.training.run import _guesses
from unocclude.training.views import ViewsTask

OBJECTS = 3


@pytest.fixture(scope="module")
def network() -> SyncDreamer:
    return load_bundled(BUNDLED / "views.safetensors", SyncDreamer)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of training, with data."""
    folder = tmp_path_factory.mktemp("training")
    with pytest.MonkeyPatch.context() as patch:
        for module in (library, inputs):
            patch.setattr(module, "OBJECTS_PER_SHARD", OBJECTS)
        assert len(list(write_library(folder / "objects", OBJECTS, 5, 1))) == 1
        assert len(list(write_inputs(folder / "inputs", SceneSource(folder / "objects", ()), OBJECTS, 5, 1))) == 1
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (library, inputs, object_bank):
        monkeypatch.setattr(module, "OBJECTS_PER_SHARD", OBJECTS)
    for task in (guess, hollows, views):
        monkeypatch.setattr(task, "VALIDATION", 1)


def bank(objects: Path, network: SyncDreamer) -> ObjectBank:
    return ObjectBank(objects, network.autoencoder)


def test_stored_inputs_are_those_of_use(objects: Path, network: SyncDreamer) -> None:
    assert network.guess is not None
    given = read_inputs(objects / "inputs" / "inputs_0000.safetensors")
    shown = ObjectLibrary.in_folder(objects / "objects")
    rows, views = (torch.from_numpy(a.ravel()) for a in np.mgrid[:OBJECTS, :QUERY_VIEWS])
    stored = seen_in(bank(objects, network).examples(rows, views, torch.zeros(len(rows)) > 0), network.guess)
    pictures = [given[k][view] for k, view in zip(rows, views, strict=True)]
    whole = [np.array_equal(p, shown.query(int(k), int(v))) for p, k, v in zip(pictures, rows, views, strict=True)]
    with torch.inference_mode():
        used = network.encode_input(
            torch.stack([prepare(p, object_bank.INPUT_SIZE) for p in pictures]), stored.elevation
        )
        guessed = network.guess_views(stored)
    assert used.guess is not None
    assert (stored.latents - used.latents).abs().max() < 0.01, "half precision, and no more"
    difference = (guessed - used.guess).abs()
    assert 0 < sum(whole) < len(whole)
    assert difference[whole].max() < 0.05
    assert difference.mean() < 0.005, "where a completion is nearly transparent, colour is a ratio of two small numbers"


def test_a_mirrored_object_is_seen_mirrored_from_the_other_side(objects: Path, network: SyncDreamer) -> None:
    rows = bank(objects, network)
    which, query = torch.tensor([1]), torch.tensor([2])
    plain, mirrored = (rows.examples(which, query, torch.tensor([flag]))["target"][0] for flag in (False, True))
    assert torch.equal(mirrored[0], plain[0].flip(-1))
    assert torch.equal(mirrored[3], plain[-3].flip(-1))


def test_shapes_turn_and_mirror_as_the_views_do(objects: Path, network: SyncDreamer) -> None:
    """Every place that the object fills lies within the outlines of the views that are learned from beside it."""
    rows = bank(objects, network)
    which, query = (torch.from_numpy(a.ravel()) for a in np.mgrid[:OBJECTS, :QUERY_VIEWS])
    poses = torch.from_numpy(target_cameras()).float()
    places = project(volume_vertices(library.FILLED_VERTICES), poses, SIDE, 0.5).round().long().clamp(0, SIDE - 1)
    for flag in (False, True):
        found = rows.examples(which, query, torch.full(which.shape, flag))
        opaque = network.autoencoder.plain(found["target"].float())[:, :, 3] > 0
        for example, shape in zip(opaque, found["shape"], strict=True):
            outlined, hollow = shape
            assert outlined.any()
            assert not (hollow & ~outlined).any()
            for outline, place in zip(example, places, strict=True):
                column, row = place[outlined].unbind(-1)
                near = F.max_pool2d(outline[None].float(), 3, 1, 1)[0]
                assert near[row, column].all()


def test_what_an_object_fills_turns_as_its_views_do(objects: Path) -> None:
    shown = ObjectLibrary.in_folder(objects / "objects")
    for index, view in np.ndindex(OBJECTS, QUERY_VIEWS):
        step, _ = shown.query_camera(index, view)
        silhouettes = torch.from_numpy(shown.target_depth(index) > 0)
        filled = torch.from_numpy(shown.filled(index, view))
        beyond = [
            (filled & ~outlined(silhouettes.roll(-turn, 0), library.FILLED_VERTICES)).sum() for turn in (step, step + 4)
        ]
        assert beyond[0] < 0.1 * filled.sum(), "but for what is thinner than a pixel"
        assert beyond[0] <= beyond[1]


def test_training_is_told_estimated_elevations(objects: Path, network: SyncDreamer) -> None:
    rows, rng = bank(objects, network), np.random.default_rng(0)
    true = rows.examples(*(torch.from_numpy(a.ravel()) for a in np.mgrid[:OBJECTS, :QUERY_VIEWS]), torch.zeros(12) > 0)
    told = torch.cat([rows.draw(rng, OBJECTS, 50)["elevation"] for _ in range(4)])
    apart = (told[:, None] - true["elevation"][None]).abs().amin(1).rad2deg()
    assert 0 < apart.mean() < ELEVATION_ERROR


@pytest.mark.parametrize("learning", ["guess", "hollows", "unet"])
def test_a_step_of_training(learning: str, objects: Path, network: SyncDreamer) -> None:
    assert network.guess is not None
    assert network.hollows is not None
    task: GuessTask | HollowsTask | ViewsTask
    if learning == "guess":
        task = GuessTask(objects, network.autoencoder, network.guess, batch=2)
    else:
        kind = HollowsTask if learning == "hollows" else ViewsTask
        task = kind(objects, network.autoencoder, network.guess, network.hollows, batch=2)
    rng = np.random.default_rng(1)
    task.module.train()
    loss = task.loss(task.draw(rng), rng)
    loss.backward()
    assert torch.isfinite(loss)
    for name in ("guess", "hollows"):
        part = network.get_submodule(name)
        assert all((p.grad is not None) is p.requires_grad for p in part.parameters())
        assert all(p.requires_grad is (learning == name) for p in part.get_submodule("volume").parameters())
    assert not any(p.requires_grad for p in network.guess.classifier.parameters())
    with torch.inference_mode():
        figures, sheet = task.validate(task.module.eval(), torch.device("cpu"))
    if learning == "hollows":
        assert 0 < figures["entropy"] < 1
        assert sheet.shape == (128, 3 * 128, 3), "the input, what is told, what is true"
    else:
        assert figures["psnr"] > 10
        assert sheet.shape == (128, 9 * 128, 3), "the input, four views, the four true ones"
    network.requires_grad_(False).zero_grad()


def test_elevations_are_learned_from_whole_objects_and_completions(objects: Path) -> None:
    task = ElevationTask(objects, batch=4)
    shown = ObjectLibrary.in_folder(objects / "objects")
    true = torch.tensor([shown.query_camera(*view)[1] for view in np.ndindex(OBJECTS, QUERY_VIEWS)])
    rng = np.random.default_rng(0)
    batch = task.draw(rng)
    assert torch.isin(batch["elevations"], true).all()
    task.loss(batch, rng).backward()
    with torch.inference_mode():
        figures, plot = task.validate(task.module.eval(), torch.device("cpu"))
    assert 0 < figures["error"] < 60
    assert plot.shape == (256, 256, 3)


def test_what_was_not_trained_here_is_there_to_better(tmp_path: Path, network: SyncDreamer) -> None:
    """Else weights worse than the bundled ones would have nothing to be compared with."""
    guess, hollows = _guesses(tmp_path)
    for made, carried in ((guess, network.guess), (hollows, network.hollows)):
        assert carried is not None
        assert all(torch.equal(value, carried.state_dict()[name]) for name, value in made.state_dict().items())
    assert (tmp_path / "hollows.safetensors").exists()
    with torch.no_grad():
        hollows.volume.out.bias += 1
    save_bundled(hollows, tmp_path / "hollows.safetensors", {})
    assert torch.equal(_guesses(tmp_path)[1].volume.out.bias, hollows.volume.out.bias.half().float())
