"""What a stage gave is taken again for the very same inputs, and never for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from unocclude.models.profiles import Weights
from unocclude.pipeline.fingerprint import fingerprint
from unocclude.pipeline.stage_runner import StageRunner
from unocclude.pipeline.types import Completion, Mask, Progress, Surface, no_progress

CPU = torch.device("cpu")
PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@dataclass(frozen=True)
class Both:
    surface: Surface
    share: float


def network(name: str) -> Weights:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 0.25)
    return Weights(lambda: layer, lambda: name)


class Stages:
    """Stages that count how often they ran."""

    def __init__(self) -> None:
        self.runs = 0

    def mask(self, picture: NDArray[np.uint8], threshold: int, progress: Progress = no_progress) -> Mask:
        self.runs += 1
        return np.asarray(picture[..., 0] > threshold)

    def completions(self, picture: NDArray[np.uint8], *, samples: int = 2) -> list[Completion]:
        self.runs += 1
        return [Completion(np.dstack([picture, picture[..., :1]]) + k) for k in range(samples)]

    def both(self, vertices: NDArray[np.float32], network: nn.Linear) -> Both:
        self.runs += 1
        return Both(Surface(vertices, np.zeros((0, 3), np.int32)), float(network.weight.detach().sum()))


@pytest.fixture
def stages() -> Stages:
    return Stages()


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and fingerprint(one) == fingerprint(other)


def test_the_same_inputs_are_computed_once(tmp_path: Path, stages: Stages) -> None:
    calls: list[Callable[[StageRunner], object]] = [
        lambda run: run(stages.mask, PICTURE, 20),
        lambda run: run(stages.completions, PICTURE, samples=3),
        lambda run: run(stages.both, np.ones((2, 3), np.float32), network("a")),
    ]
    for number, call in enumerate(calls, 1):
        first = call(StageRunner(tmp_path, CPU))
        again = StageRunner(tmp_path, CPU)
        assert same(first, call(again))
        assert stages.runs == number
        assert len(again.reused) == 1


def test_other_inputs_are_computed_anew(tmp_path: Path, stages: Stages) -> None:
    run = StageRunner(tmp_path, CPU)
    other = PICTURE.copy()
    other[0, 0, 0] = 1
    for picture, threshold in ((PICTURE, 20), (other, 20), (PICTURE, 21), (PICTURE.reshape(2, 8, 3), 20)):
        before = stages.runs
        assert np.array_equal(run(stages.mask, picture, threshold), picture[..., 0] > threshold)
        assert stages.runs == before + 1
    for weights in ("a", "b"):
        run(stages.both, np.ones((2, 3), np.float32), network(weights))
    assert run.reused == []


def test_progress_and_the_way_of_calling_decide_nothing(tmp_path: Path, stages: Stages) -> None:
    run = StageRunner(tmp_path, CPU)
    run(stages.mask, PICTURE, 20)
    run(stages.mask, picture=PICTURE, threshold=20, progress=lambda stage, step, total, preview=None: None)
    assert stages.runs == 1


def test_a_network_is_loaded_only_where_its_stage_runs(tmp_path: Path, stages: Stages) -> None:
    def load() -> nn.Module:
        raise AssertionError("nobody needs it")

    weights = network("a")
    vertices = np.ones((2, 3), np.float32)
    StageRunner(tmp_path, CPU)(stages.both, vertices, weights)
    assert StageRunner(tmp_path, CPU)(stages.both, vertices, replace(weights, load=load)).share == 0.25


@pytest.mark.parametrize("damage", [b"", b"no such thing", None])
def test_a_damaged_result_is_computed_again(tmp_path: Path, stages: Stages, damage: bytes | None) -> None:
    whole = StageRunner(tmp_path, CPU)(stages.completions, PICTURE)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if damage is None else damage)
    run = StageRunner(tmp_path, CPU)
    assert same(run(stages.completions, PICTURE), whole)
    assert stages.runs == 2
    assert same(StageRunner(tmp_path, CPU)(stages.completions, PICTURE), whole)
    assert stages.runs == 2


def test_a_store_that_cannot_be_written_costs_time_alone(tmp_path: Path, stages: Stages) -> None:
    (tmp_path / "in the way").write_text("")
    for _ in range(2):
        run = StageRunner(tmp_path / "in the way" / "stages", CPU)
        assert np.array_equal(run(stages.mask, PICTURE, 20), PICTURE[..., 0] > 20)
    assert stages.runs == 2


def test_without_a_store_everything_runs(stages: Stages) -> None:
    run = StageRunner(None, CPU)
    for _ in range(2):
        run(stages.both, np.ones((2, 3), np.float32), network("a"))
    assert stages.runs == 2


def test_fingerprints_tell_values_apart() -> None:
    array = np.arange(6)
    values = [
        *(None, 0, 0.0, False, "", "0", [], (), [0], [[0]], ["0"], ["a", "b"], ["ab"], {"a": 0}, {"a": 1}, -0.0),
        *(array, array.reshape(2, 3), array.astype(np.int32), [array], CPU, Completion(PICTURE)),
    ]
    assert len({fingerprint(value) for value in values}) == len(values)
    with pytest.raises(TypeError, match="no fingerprint"):
        fingerprint(object())
