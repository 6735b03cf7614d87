from __future__ import annotations

import numpy as np
import torch
from unocclude.cameras import target_cameras, world_to_camera
from unocclude.models.volumes import VolumeConfig, Volumes, project, unproject, volume_vertices

TARGETS = torch.from_numpy(target_cameras()).float()


def camera(azimuth: float, elevation: float) -> torch.Tensor:
    return torch.from_numpy(world_to_camera(azimuth, elevation)).float()[None]


def test_a_view_reaches_the_vertices_behind_its_pixels_and_no_others() -> None:
    torch.manual_seed(0)
    config = VolumeConfig.bundled()
    volumes = Volumes(config, TARGETS)
    pose = camera(0.0, 12.0)
    features = torch.zeros(1, 1, 32, 32)
    features[0, 0, 10, 20] = 1
    lifted = unproject(features, volumes.grid_of_views(pose))[0, 0]
    pixels = project(volume_vertices(config.vertices), pose, 32, config.pixel_centre)[0].numpy()
    beside = np.abs(pixels - [20, 10]).max(-1)
    assert (lifted.numpy()[beside < 0.4] > 0.3).all()
    assert (lifted.numpy()[beside > 1] == 0).all()
    assert (beside < 0.4).sum() > 3  # a ray passes several


def test_a_lifted_view_turns_with_its_camera() -> None:
    volumes = Volumes(VolumeConfig.bundled(), TARGETS)
    picture = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    front, side = (unproject(picture, volumes.grid_of_views(camera(a, 0.0)))[0, 0] for a in (0.0, 90.0))
    turned = front.permute(0, 2, 1).flip(2)  # axes z, y, x: a quarter turn takes (x, y) to (-y, x)
    torch.testing.assert_close(side, turned, atol=1e-4, rtol=0)
