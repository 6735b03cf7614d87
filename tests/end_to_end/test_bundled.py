"""The real models, the real backend: the demo, a job's folder, and that the same job gives the same files."""

from __future__ import annotations

import hashlib
import json
import time
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from unocclude.cli import main

SAMPLE = Path(str(resources.files("unocclude") / "bundled" / "sample.png"))
POINT = json.loads(SAMPLE.with_suffix(".json").read_text())["points"][0]
QUICK = ["--preset", "fast", "--samples", "2", "--device", "cpu"]


def check_folder(folder: Path, image: Path, samples: int) -> None:
    """Everything that a finished job promises to leave behind."""
    width, height = Image.open(image).size
    visible, amodal = (np.asarray(Image.open(folder / f"{name}_mask.png")) for name in ("visible", "amodal"))
    for mask in (visible, amodal):
        assert mask.shape == (height, width)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 255}
    assert visible.any()
    assert (amodal >= visible).all()
    assert len(list(folder.glob("completion_*.png"))) == samples
    for path in folder.glob("completion_*.png"):
        assert Image.open(path).mode == "RGBA"
    for number in range(16):
        view = Image.open(folder / "views" / f"{number:03d}.png")
        assert (view.mode, view.size) == ("RGBA", (256, 256))
    check_mesh(folder / "mesh.glb")
    report = json.loads((folder / "report.json").read_text())
    for entry in ("prompt", "crop", "camera", "seed", "profile", "models", "seconds", "peak_memory_mb", "scores"):
        assert entry in report
    assert len(report["models"]) >= 3
    assert Image.open(folder / "overview.png").width > 500
    assert not list(folder.rglob("*.partial"))


def check_mesh(path: Path) -> None:
    mesh = trimesh.load(path, force="mesh")
    assert 2_000 <= len(mesh.faces) <= 200_000
    assert np.abs(mesh.vertices).max() <= 0.5 + 1e-5
    assert mesh.visual.uv is not None
    assert mesh.visual.material.baseColorTexture is not None
    # UV seams split vertices; joined again, one body holds nearly all of the area.
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    solid.merge_vertices(merge_tex=True, merge_norm=True)
    parts = solid.split(only_watertight=False)
    assert max(part.area for part in parts) >= 0.95 * solid.area


def test_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts a backend of its own, sends it the sample, fetches the result, stops the backend."""
    monkeypatch.setenv("UNOCCLUDE_HOME", str(tmp_path / "home"))
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    check_folder(tmp_path / "demo", SAMPLE, samples=4)
    deadline = time.monotonic() + 30
    while (tmp_path / "home" / "connection.json").exists():
        assert time.monotonic() < deadline, "the backend was told to stop and did not"
        time.sleep(0.1)


def test_the_same_job_gives_the_same_files(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        job = ["reconstruct", str(SAMPLE), "--point", *map(str, POINT), "--out", str(folder), *QUICK]
        assert main(job) == 0
    check_folder(folders[0], SAMPLE, samples=2)
    digests = [
        {
            p.relative_to(f): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in f.rglob("*")
            if p.suffix in (".png", ".glb")
        }
        for f in folders
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("stage", "left"), [("segment", "visible_mask.png"), ("complete", "amodal_mask.png")])
def test_a_job_can_end_early(stage: str, left: str, tmp_path: Path) -> None:
    job = ["reconstruct", str(SAMPLE), "--point", *map(str, POINT), "--out", str(tmp_path), "--to", stage, *QUICK]
    assert main(job) == 0
    assert (tmp_path / left).exists()
    assert (tmp_path / "overview.png").exists()
    assert not (tmp_path / "mesh.glb").exists()


def test_a_given_mask_replaces_the_segmentation(tmp_path: Path) -> None:
    mask = np.zeros(Image.open(SAMPLE).size[::-1], np.uint8)
    mask[130:230, 190:290] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    job = ["reconstruct", str(SAMPLE), "--mask", str(tmp_path / "mask.png"), "--out", str(tmp_path / "out"), *QUICK]
    assert main([*job, "--to", "complete"]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "visible_mask.png")), mask)


def test_a_batch_goes_on_after_a_failure_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "manifest.jsonl"
    lines = [
        {"image": str(SAMPLE), "point": POINT, "name": "good"},
        {"image": "none.png", "point": [1, 1], "name": "bad"},
    ]
    manifest.write_text("\n".join(map(json.dumps, lines)))
    job = ["batch", str(manifest), "--out", str(tmp_path / "out"), "--resume", "--to", "segment", *QUICK]
    assert main(job) == 1
    assert "1 of 2 images failed" in capsys.readouterr().err
    assert (tmp_path / "out" / "good" / "visible_mask.png").exists()
    assert main(job) == 1
    assert "done before" in capsys.readouterr().out
