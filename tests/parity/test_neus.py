"""The original NeuS against golden files: networks, samples, rendering, losses, training steps and mesh."""

from __future__ import annotations

from typing import Any

import mcubes
import pytest
import torch
import torch.nn.functional as F
import trimesh
from golden_files import golden
from torch import Tensor
from unocclude.cameras import intrinsics, target_cameras
from unocclude.models.neus_reference import (
    NeusConfig,
    ReferenceNeus,
    Rendered,
    importance_samples,
    in_cube,
    inverse_samples,
    learning_rate,
    losses,
    near_far,
)
from unocclude.pipeline.reference_fit import corner_rays, optimiser, sdf_lattice, surface_colours

NETWORKS, RAYS, SAMPLES, RENDERING = 1e-5, 1e-6, 1e-4, 1e-4
"""Absolute."""
LOSSES, TRAJECTORY, GRADIENTS = 1e-4, 1e-3, 1e-3
"""Relative."""
SAME_SAMPLES = 0.995
"""Share of samples in their place: where a ray's distribution is flat, rounding moves its quantiles."""


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return golden("syncdreamer").json("neus")


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return golden("syncdreamer").tensors("neus")


def config_of(manifest: dict[str, Any]) -> NeusConfig:
    sdf, colour = manifest["config"]["sdf"], manifest["config"]["col"]
    return NeusConfig(
        sdf_width=sdf["d_hidden"],
        sdf_layers=sdf["n_layers"],
        skip=sdf["skip_in"][0],
        feature=colour["d_feature"],
        colour_width=colour["d_hidden"],
        colour_layers=colour["n_layers"],
        point_frequencies=sdf["multires"],
        direction_frequencies=colour["multires_view"],
        ball=sdf["bias"],
        variance=manifest["config"]["var"],
    )


@pytest.fixture
def model(manifest: dict[str, Any], tensors: dict[str, Tensor]) -> ReferenceNeus:
    model = ReferenceNeus(config_of(manifest))
    model.load_state_dict({name[2:]: value for name, value in tensors.items() if name.startswith("w.")}, strict=True)
    return model


def close(actual: Tensor, expected: Tensor, absolute: float, relative: float = 0.0) -> None:
    torch.testing.assert_close(actual.detach(), expected, atol=absolute, rtol=relative)


def same_distances(actual: Tensor, expected: Tensor) -> bool:
    return float(((actual - expected).abs() < SAMPLES).float().mean()) > SAME_SAMPLES


def training_rendering(model: ReferenceNeus, tensors: dict[str, Tensor], step: int, jitter: Tensor) -> Rendered:
    return model.render(tensors["rays.o"], tensors["rays.d"], step, jitter)


def training_losses(model: ReferenceNeus, tensors: dict[str, Tensor], step: int, jitter: Tensor) -> Any:
    rendered = training_rendering(model, tensors, step, jitter)
    return losses(rendered, tensors["loss.rgb_gt"], tensors["loss.mask_gt"][:, 0])


def test_the_published_size() -> None:
    assert sum(p.numel() for p in ReferenceNeus().parameters()) == 802_491


def test_networks(model: ReferenceNeus, tensors: dict[str, Tensor]) -> None:
    out, gradients = model.gradient(tensors["pts"])
    close(out, tensors["sdf_out"], NETWORKS)
    close(gradients, tensors["gradient"], NETWORKS, NETWORKS)
    close(model.color_network(tensors["pts"], -tensors["dirs"], gradients, out[:, 1:]), tensors["colour"], NETWORKS)
    close(model.deviation_network().reshape(1, 1), tensors["inv_s"], NETWORKS, NETWORKS)


def test_geometric_start(manifest: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    fresh = ReferenceNeus(config_of(manifest))
    deviation = fresh.sdf(tensors["geo.pts"]).detach() - (
        tensors["geo.pts"].norm(dim=-1) - manifest["config"]["sdf"]["bias"]
    )
    assert abs(float(deviation.mean())) < 3 * manifest["geometric_init"]["std"]
    assert float(deviation.std()) < 2 * manifest["geometric_init"]["std"]
    for name, value in fresh.sdf_network.state_dict().items():
        given = tensors[f"geo.sdf_network.{name}"]
        close((value == 0).float(), (given == 0).float(), 0)  # the same entries start at nothing
        assert float(value.std()) == pytest.approx(float(given.std()), rel=0.3, abs=2e-4)
    fresh.sdf_network.load_state_dict(
        {name[16:]: value for name, value in tensors.items() if name.startswith("geo.sdf_network.")}
    )
    close(fresh.sdf_network(tensors["geo.pts"])[:, :1], tensors["geo.sdf"], NETWORKS)


def test_rays(tensors: dict[str, Tensor]) -> None:
    for number, view in enumerate(tensors["raygen.views"].tolist()):
        origins, directions = corner_rays(target_cameras()[int(view)], intrinsics())
        close(origins.reshape(256, 256, 3)[::32, ::32].float(), tensors["raygen.rays_o.s32"][number], RAYS)
        close(directions.reshape(256, 256, 3)[::32, ::32].float(), tensors["raygen.rays_d.s32"][number], RAYS)
    near, far = near_far(tensors["rays.o"], tensors["rays.d"])
    close(near, tensors["rays.near"], RAYS)
    close(far, tensors["rays.far"], RAYS)


def test_samples(model: ReferenceNeus, tensors: dict[str, Tensor]) -> None:
    close(inverse_samples(tensors["pdf.bins"], tensors["pdf.weights"], 16), tensors["pdf.samples16"], SAMPLES)
    new = importance_samples(tensors["rays.o"], tensors["rays.d"], tensors["ups.z"], tensors["ups.sdf"], 64.0)
    close(new, tensors["ups.new_z"], SAMPLES)
    assert same_distances(model.distances(tensors["rays.o"], tensors["rays.d"]), tensors["eval.z_vals"])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_rendering(mode: str, model: ReferenceNeus, manifest: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    if mode == "train":
        seen = training_rendering(model, tensors, manifest["config"]["step"], tensors["train.t_rand"])
    else:
        seen = model.render(tensors["rays.o"], tensors["rays.d"])
    assert same_distances(seen.distances, tensors[f"{mode}.z_vals"])
    assert (seen.inside == tensors[f"{mode}.inner_mask"].bool()).all()
    close(seen.colour, tensors[f"{mode}.rgb"], RENDERING)
    close(seen.opacity[:, None], tensors[f"{mode}.mask"], RENDERING)
    close(seen.normal, tensors[f"{mode}.normal"], RENDERING)
    mean = tensors[f"{mode}.gradient_error"].sum() / seen.inside.sum()
    close(seen.eikonal.sum() / seen.inside.sum(), mean, RENDERING)


def test_losses_and_gradients(model: ReferenceNeus, manifest: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    lost = training_losses(model, tensors, manifest["config"]["step"], tensors["train.t_rand"])
    for name in ("total", "rendering", "eikonal", "mask"):
        assert getattr(lost, name).item() == pytest.approx(manifest["loss"][name], rel=LOSSES)
    lost.total.backward()
    norms = {name: float(p.grad.norm()) for name, p in model.named_parameters() if p.grad is not None}
    assert norms == pytest.approx(manifest["grad_norms"], rel=GRADIENTS)


def test_training_steps(model: ReferenceNeus, manifest: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    adam = optimiser(model)
    for step, expected in enumerate(tensors["opt.losses_total_rgb_eik_mask"]):
        adam.param_groups[0]["lr"] = learning_rate(step, 2000)
        assert adam.param_groups[0]["lr"] == pytest.approx(manifest["opt"]["lr_per_step"][step])
        lost = training_losses(model, tensors, step, tensors["opt.t_rand"][step])
        close(torch.stack([lost.total, lost.rendering, lost.eikonal, lost.mask]), expected, 0, TRAJECTORY)
        adam.zero_grad()
        lost.total.backward()
        adam.step()
    # The golden final weights are those before the first step; what the trained networks render is stored rightly.
    trained = model.render(tensors["rays.o"], tensors["rays.d"]).colour
    close(trained, tensors["opt.final_eval_rgb"], RENDERING)
    assert float((trained - tensors["eval.rgb"]).abs().max()) > 100 * RENDERING


def test_learning_rates(manifest: dict[str, Any]) -> None:
    for step, rate in manifest["lr_schedule"].items():
        assert learning_rate(int(step), 2000) == pytest.approx(rate)


def test_mesh(model: ReferenceNeus, manifest: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    field = sdf_lattice(model, 48)
    close(torch.from_numpy(field[::2, ::2, ::2].copy()), tensors["mesh.field48.s2"], RENDERING)
    vertices, faces = mcubes.marching_cubes(field, 0.0)
    expected = manifest["mesh48"]
    assert (len(vertices), len(faces)) == (expected["vertices_raw"], expected["faces_raw"])
    vertices = vertices / 47 * 1.2 - 0.6
    assert trimesh.Trimesh(vertices, faces, process=False).volume == pytest.approx(expected["volume"], rel=1e-3)
    sample = tensors["mesh.vertices_sample"]
    close(surface_colours(model, sample), tensors["mesh.vertex_colours_sample"].float() / 255, 2 / 255)
    assert in_cube(sample).all()


def test_a_different_cosine_is_noticed(model: ReferenceNeus, tensors: dict[str, Tensor]) -> None:
    """The rendering tests would not pass with another formula."""
    early = model.render(tensors["rays.o"], tensors["rays.d"], step=0)
    assert float((early.colour - tensors["eval.rgb"]).abs().max()) > 10 * RENDERING
    assert F.l1_loss(early.opacity[:, None], tensors["eval.mask"]) > RENDERING
