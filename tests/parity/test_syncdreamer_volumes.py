"""SyncDreamer's volume networks and their geometry against the golden ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_files import ANYTHING, NETWORKS, TABLES, Golden, within
from torch import Tensor
from unocclude.cameras import intrinsics, target_cameras
from unocclude.models import checkpoints
from unocclude.models.checkpoint_names import volumes_name
from unocclude.models.syncdreamer import SyncDreamer
from unocclude.models.volumes import VolumeConfig, Volumes, unproject, volume_vertices

GEOMETRY = 1e-5
PLACES = 1e-7
"""Their last digit. Computed in double precision they differ by several times as much."""

pytestmark = pytest.mark.usefixtures("no_gradients")


def thinned(tensor: Tensor, step: int) -> Tensor:
    return tensor[..., ::step, ::step, ::step]


def summary(tensor: Tensor) -> Tensor:
    return torch.stack([tensor.abs().max(), tensor.mean(), tensor.std()])


def test_networks(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("volume_nets")
    volumes = synthesis.volumes
    encoded = volumes.view_encoder(stored["enc.x"], stored["enc.t"], stored["enc.v"])
    assert within(encoded, stored["enc.out"], NETWORKS)
    spatial = volumes.spatial_network(stored["st3d.x"], stored["st3d.t"])
    assert within(spatial, stored["st3d.out"], NETWORKS)
    for level in volumes.frustum_network(stored["ftv.x"], stored["ftv.t"], stored["ftv.v"]):
        assert within(level, stored[f"ftv.out.{level.shape[-1]}"], NETWORKS)


def test_official_geometry(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("volumes_official_geometry")
    volumes = synthesis.volumes
    vertices = volume_vertices(32).permute(3, 0, 1, 2).unsqueeze(0)
    assert within(thinned(vertices, 4), stored["verts.s4"], GEOMETRY)
    for view in (0, 6):
        grid = volumes.view_grid[view, ::4, ::4, ::4].unsqueeze(0)
        assert within(grid, stored[f"warp_coords.{view}.s4"], PLACES)
    chosen = stored["target_index"][0]
    points = volumes.frustum_grid[chosen].permute(0, 4, 1, 2, 3) * 0.5
    assert within(points[:, :, ::8, ::4, ::4], stored["frustum_xyz.s"], PLACES)
    poses = torch.from_numpy(target_cameras()).float()[chosen]
    depth = torch.einsum("vj,vjdyx->vdyx", poses[:, 2, :3], points) + poses[:, 2, 3, None, None, None]
    assert within(depth[:, None, :, ::16, ::16], stored["frustum_depth.s"], GEOMETRY)


def test_official_volumes(synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("volumes_official_geometry")
    volumes = synthesis.volumes
    time, viewpoints = synthesis.embed_time(stored["timestep"]), synthesis.viewpoints(stored["elevation_rad"])
    assert within(time, stored["t_embed"], NETWORKS)
    assert within(viewpoints, stored["v_embed"], NETWORKS)
    features = volumes.view_encoder(stored["x"][0], time.expand(16, -1), viewpoints[0])
    lifted = unproject(features, volumes.view_grid)
    for view in (0, 6):
        assert within(features[view : view + 1], stored[f"enc_feat.{view}"], NETWORKS)
        assert within(thinned(lifted[view : view + 1], 4), stored[f"unproj.{view}.s4"], NETWORKS)
    spatial = volumes.spatial(stored["x"], time, viewpoints)
    assert within(thinned(spatial, 2), stored["spatial_volume.s2"], NETWORKS)
    assert within(summary(spatial), stored["spatial_volume.absmax_mean_std"], NETWORKS)
    frustums = volumes.frustums(spatial, time, viewpoints, stored["target_index"])
    assert within(thinned(frustums[32], 4), stored["frustum.32.s4"], NETWORKS)
    assert within(thinned(frustums[16], 2), stored["frustum.16.s2"], NETWORKS)
    assert within(frustums[8], stored["frustum.8"], NETWORKS)
    assert within(frustums[4], stored["frustum.4"], NETWORKS)
    assert within(summary(frustums[32]), stored["frustum.32.absmax_mean_std"], NETWORKS)


def small_volumes(golden: Golden, stored: dict[str, Tensor]) -> Volumes:
    config: dict[str, Any] = golden.json("manifest_diffusion")["config"]["vsn"]
    sizes = VolumeConfig(
        vertices=config["V"],
        frustum_side=config["img"] // 8,
        frustum_depth=config["D"],
        view_width=len(stored["w.spatial_volume.target_encoder.init_conv.bias"]),
        spatial_widths=tuple(config["sdims"]),
        frustum_widths=tuple(config["vd"]),
        time_width=config["time_dim"],
        pixel_centre=0.0,
        picture_size=config["img"],
    )
    volumes = Volumes(sizes, torch.from_numpy(target_cameras()[config["view_ids"]]).float())
    sources = {
        name: checkpoints.Source(f"w.spatial_volume.{volumes_name(name, len(sizes.spatial_widths))}")
        for name in volumes.state_dict()
    }
    checkpoints.load(volumes, stored, sources, ANYTHING)
    return volumes


def test_other_sizes(syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("volumes_small")
    volumes = small_volumes(syncdreamer_golden, stored)
    config = syncdreamer_golden.json("manifest_diffusion")["config"]["vsn"]
    assert (torch.from_numpy(intrinsics(config["img"])) - stored["Ks"]).abs().max() < TABLES * config["img"]
    poses = torch.from_numpy(target_cameras()[config["view_ids"]])
    assert (poses - stored["poses"]).abs().max() < TABLES
    chosen = stored["target_index"].flatten()
    points = volumes.frustum_grid[chosen].double() * 0.5
    depth = torch.einsum("vdyxj,vj->vdyx", points, poses[chosen, 2, :3]) + poses[chosen, 2, 3, None, None, None]
    assert within(depth.mean(dim=(2, 3)).unsqueeze(1), stored["frustum_depth"].double(), GEOMETRY)
    spatial = volumes.spatial(stored["x"], stored["t_embed"], stored["v_embed"])
    assert within(spatial, stored["spatial_volume"], NETWORKS)
    frustums = volumes.frustums(spatial, stored["t_embed"], stored["v_embed"], stored["target_index"])
    for side, volume in frustums.items():
        assert within(volume, stored[f"frustum.{side}"], NETWORKS)
