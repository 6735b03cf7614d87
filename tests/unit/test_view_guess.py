"""The first guess of the views: geometry, rendering, and that each view is told its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from unocclude.cameras import DISTANCE, FOCAL, VIEW_COUNT, VIEW_SIZE, world_to_camera
from unocclude.models.syncdreamer import SyncDreamer, SyncDreamerConfig
from unocclude.models.view_guess import SIDE, Attention, GuessConfig, Seen, ViewGuess
from unocclude.models.volumes import frustum_points, place_in_frustum, volume_vertices

ALL = torch.arange(VIEW_COUNT)[None]


@pytest.fixture(scope="module")
def guess() -> ViewGuess:
    torch.manual_seed(0)
    return ViewGuess(replace(GuessConfig.bundled(), samples=96)).eval()


def seen(latents: Tensor, elevation: float = 0.4) -> Seen:
    generator = torch.Generator().manual_seed(1)
    known = [torch.randn(1, *shape, generator=generator) for shape in ((112, 16, 16), (320, 8, 8))]
    return Seen(latents, known, torch.tensor([elevation]))


def vertices(guess: ViewGuess) -> Tensor:
    return volume_vertices(guess.config.vertices)


def test_places_in_a_frustum_are_the_inverse_of_its_points() -> None:
    poses = torch.from_numpy(np.stack([world_to_camera(0.0, 12.0), world_to_camera(67.5, 30.0)])).float()
    points = frustum_points(poses, 8, 6, 0.5)
    expected = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (6, 8, 8)), indexing="ij")[::-1], -1)
    for view in range(2):
        places = place_in_frustum(points[view], poses[view : view + 1], 8, 0.5)[0]
        torch.testing.assert_close(places, expected, atol=1e-4, rtol=0)


def test_a_dense_ball_is_a_disc_from_everywhere(guess: ViewGuess) -> None:
    radius, where = 0.3, vertices(guess)
    inside = (where.norm(dim=-1) < radius).float()[None, None]
    colour = torch.full((1, 3, *inside.shape[2:]), -0.5)
    views = guess.render(200 * inside, colour, ALL)[0]
    row, column = np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2
    focal = FOCAL * SIDE / VIEW_SIZE
    from_axis = np.hypot(row, column) / focal
    tangent = radius / np.sqrt(DISTANCE**2 - radius**2)
    pixel = 1 / focal
    assert views.shape == (VIEW_COUNT, 4, SIDE, SIDE)
    for view in views.numpy():
        assert (view[3][from_axis < tangent - 1.5 * pixel] > 1.95).all()
        assert (abs(view[:, from_axis > tangent + 1.5 * pixel]) < 0.02).all()
        assert np.abs(view[:3][:, from_axis < tangent - 1.5 * pixel] + 0.5).max() < 0.05


def test_what_is_in_front_hides_what_is_behind(guess: ViewGuess) -> None:
    where = vertices(guess)
    density = (where.abs().amax(-1) < 0.25).float()[None, None] * 200
    dark = torch.where(where[..., 0] > 0, -2.0, 0.0)[None, None]  # the half towards view 0 is black, the other white
    front, back = guess.render(density, dark.expand(-1, 3, -1, -1, -1), torch.tensor([[0, VIEW_COUNT // 2]]))[0]
    middle = SIDE // 2 + 2
    assert front[0, middle, middle] < -1.7
    assert back[0, middle, middle] > -0.3
    assert torch.equal(front[3] > 1, back[3] > 1)


def test_nothing_of_the_input_lies_outside_its_own_silhouette_in_the_volume(guess: ViewGuess) -> None:
    """The picture reaches the volume where its camera sees it: a change in one pixel stays near that pixel's ray."""
    changed = torch.zeros(1, 4, SIDE, SIDE)
    changed[..., 10, 20] = 1
    reached: list[Tensor] = []
    hook = guess.volume.register_forward_pre_hook(lambda module, inputs: reached.append(inputs[0]))
    with torch.inference_mode():
        guess.imagine(seen(torch.zeros(1, 4, SIDE, SIDE)))
        guess.imagine(seen(changed))
    hook.remove()
    first = guess.config.column_channels
    shown = (reached[1] - reached[0])[0, first]
    pose = torch.from_numpy(world_to_camera(0.0, float(np.rad2deg(0.4)))).float()[None]
    pixels = (place_in_frustum(vertices(guess), pose, SIDE, 0.5)[0, ..., :2] + 1) * (SIDE - 1) / 2
    beside = (pixels - torch.tensor([20.0, 10.0])).abs().amax(-1)
    assert (shown[beside > 1.01] == 0).all()
    assert (shown[beside < 0.4] > 0.3).all()
    assert (beside < 0.4).sum() > 3


def test_each_view_is_told_its_own_guess() -> None:
    torch.manual_seed(0)
    network = SyncDreamer(SyncDreamerConfig.bundled()).eval()
    picture, t = torch.rand(1, 4, VIEW_SIZE, VIEW_SIZE) * 2 - 1, torch.tensor([500])
    indices = torch.tensor([[5, 0]])
    with torch.inference_mode():
        condition = network.encode_input(picture, torch.tensor([0.2]))
        assert condition.guess is not None
        spatial = network.spatial_volume(torch.randn(1, VIEW_COUNT, 4, SIDE, SIDE), t, condition)
        told = network.view_condition(spatial, t, condition, indices).latents
    assert condition.guess.shape == (1, VIEW_COUNT, 4, SIDE, SIDE)
    assert torch.equal(told, condition.guess[0, [5, 0]])
    assert not torch.equal(told[0], told[1])


def test_the_volume_is_learned_from_views() -> None:
    """A few steps towards a dark ball, from a picture of it, make its views clearly better than the fog before."""
    torch.manual_seed(0)
    guess = ViewGuess(GuessConfig.bundled())
    where = vertices(guess)
    inside = (where.norm(dim=-1) < 0.3).float()[None, None]
    colour = torch.full((1, 3, *inside.shape[2:]), -1.5)
    some = ALL[:, ::5]
    with torch.no_grad():
        true = guess.render(200 * inside, colour, ALL)
    given = seen(true[:, 0], float(np.deg2rad(30.0)))
    optimiser = torch.optim.Adam([p for p in guess.parameters() if p.requires_grad], 2e-3)
    errors = []
    for _ in range(15):
        error = (guess(given, some) - true[:, some[0]]).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.3 * errors[0]


def test_each_place_looks_at_all_others_wherever_they_are() -> None:
    torch.manual_seed(0)
    attention, volume = Attention(16), torch.randn(2, 16, 3, 4, 5)
    shuffled = torch.randperm(60)

    def elsewhere(x: Tensor) -> Tensor:
        return x.flatten(2)[:, :, shuffled].reshape(x.shape)

    torch.testing.assert_close(attention(elsewhere(volume)), elsewhere(attention(volume)))
    changed = volume.clone()
    changed[:, :, 0, 0, 0] += 1
    assert ((attention(changed) - attention(volume)).abs().amax(1) > 1e-5).all()
