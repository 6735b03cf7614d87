"""Chamfer distance and volume IoU against the figures that the reference's own tools gave for the same meshes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from unocclude.evaluation.geometry import chamfer_distance, inside_voxels, seen_points, volume_iou

GOLDEN = (
    Path(os.environ.get("UNOCCLUDE_GOLDEN", Path(__file__).parents[2].parent / "shared" / "golden")) / "syncdreamer"
)
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden files are not on this machine")


@pytest.mark.parametrize("name", ["hull_gt_masks", "hull_pr_masks", "neus_reduced_cpu"])
def test_chamfer_and_iou_agree_with_the_reference(name: str) -> None:
    tensors = load_file(GOLDEN / "metrics_meshes.safetensors")
    wanted = json.loads((GOLDEN / "metrics.json").read_text())["meshes"][name]
    vertices, faces = tensors[f"{name}.v"], tensors[f"{name}.f"]
    points = seen_points(vertices, faces)
    assert len(points) == pytest.approx(wanted["points_after_voxel_0.01"], abs=5)
    true_points = tensors["gt_points_voxel_0.01"].astype(np.float64)
    assert chamfer_distance(points, true_points) == pytest.approx(wanted["chamfer"], abs=2e-6)
    true_inside = np.unpackbits(tensors["gt_sdf64_inside_packbits"]).astype(bool).reshape(64, 64, 64)
    inside = inside_voxels(vertices, faces)
    assert inside.sum() == pytest.approx(wanted["voxels_inside_64"], abs=2)
    assert volume_iou(inside, true_inside) == pytest.approx(wanted["iou64"], abs=5e-4)
