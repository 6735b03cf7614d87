"""The real models: a job that was interrupted goes on after its last finished stage, and what is reused is the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
import torch
from unocclude.errors import Cancelled
from unocclude.models.profiles import Models
from unocclude.pipeline.inputs import read_image
from unocclude.pipeline.reconstruct import reconstruct
from unocclude.protocol import JobSpec, Prompt

SAMPLE = Path(str(resources.files("unocclude") / "bundled" / "sample.png"))
POINT = tuple(json.loads(SAMPLE.with_suffix(".json").read_text())["points"][0])
SPEC = JobSpec(prompt=Prompt(points=(POINT,)), samples=2, preset="fast", device="cpu")
BEFORE_MESH = ["segment", "complete", "estimate_elevation", "generate_views"]
ALL = [*BEFORE_MESH, "fit_surface", "front_view", "texture_surface"]


def run(spec: JobSpec, out: Path, kept: Path | None, **options: object) -> list[str]:
    """The names of the stages that did not run."""
    models = Models("bundled", torch.device("cpu"))
    report = reconstruct(read_image(SAMPLE), spec, out, models, kept=kept, **options).report  # type: ignore[arg-type]
    used = {"segment": 1, "complete": 2, "views": 4, "mesh": 4}[spec.to] - (spec.elevation is not None)
    assert len(report["models"]) == used  # also those that were not even loaded
    return list(report["reused"])


def files(folder: Path) -> dict[str, str]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.name != "report.json"}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items() if path.is_file()}


def test_stages_are_reused_and_give_the_same(tmp_path: Path) -> None:
    kept = tmp_path / "kept"

    def interrupt(stage: str, step: int, total: int, preview: object = None) -> None:
        if stage == "mesh":
            raise Cancelled("now")

    with pytest.raises(Cancelled):
        run(SPEC, tmp_path / "interrupted", kept, progress=interrupt)
    assert run(SPEC, tmp_path / "gone on", kept) == BEFORE_MESH
    assert run(SPEC, tmp_path / "again", kept) == ALL
    assert run(SPEC, tmp_path / "alone", None) == []
    assert files(tmp_path / "gone on") == files(tmp_path / "again") == files(tmp_path / "alone")

    chosen = json.loads((tmp_path / "again" / "report.json").read_text())["scores"]["chosen"]
    others: list[tuple[dict[str, object], list[str]]] = [
        ({"seed": 1, "to": "complete"}, ["segment"]),
        ({"samples": 3, "to": "complete"}, ["segment"]),
        ({"choose": 1 - chosen, "to": "views"}, ["segment", "complete"]),
        ({"choose": chosen, "to": "views"}, BEFORE_MESH),
        ({"elevation": 12.5, "to": "views"}, ["segment", "complete"]),
        ({"prompt": Prompt(points=((POINT[0] + 1, POINT[1]),)), "to": "segment"}, []),
    ]
    for change, reused in others:
        assert run(replace(SPEC, **change), tmp_path / "other", kept) == reused, change  # type: ignore[arg-type]
