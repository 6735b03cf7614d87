"""What the view model is given in training: whole objects, and completions of half-hidden ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("embreex", reason="rendering needs the `train` extra")

from unocclude.data import inputs, library
from unocclude.data.inputs import InputShards
from unocclude.data.library import QUERY_VIEWS, ObjectLibrary, write_library
from unocclude.data.scenes import SceneSource

SHARD = 1


def test_views_are_whole_or_completed_and_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (library, inputs):
        monkeypatch.setattr(module, "OBJECTS_PER_SHARD", SHARD)
    list(write_library(tmp_path, SHARD, 6, 1))
    shown = np.stack([ObjectLibrary.in_folder(tmp_path).query(0, view) for view in range(QUERY_VIEWS)])
    draw = InputShards(SceneSource(tmp_path, ()), 3)

    monkeypatch.setattr(inputs, "COMPLETED_SHARE", 0.0)
    assert np.array_equal(draw(0)["inputs"][0], shown)

    monkeypatch.setattr(inputs, "COMPLETED_SHARE", 1.0)
    completed = draw(0)["inputs"]
    assert completed.shape == (SHARD, QUERY_VIEWS, 256, 256, 4)
    assert np.array_equal(completed, draw(0)["inputs"])
    for picture, whole in zip(completed[0], shown, strict=True):
        opaque = picture[..., 3] > 127
        assert opaque.mean() > 0.01
        assert not np.array_equal(opaque, whole[..., 3] > 127)
