"""One training step of pix2gestalt against the recorded one, and the start from its base checkpoint."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_files import Golden, to_pictures, within
from torch import Tensor
from unocclude.models import checkpoints
from unocclude.models.pix2gestalt import Pix2Gestalt
from unocclude.training.loop import Averaged

LOSS = 1e-5
GRADIENTS = 1e-5
LATENTS = 1e-4


def parameters_by_key(model: Pix2Gestalt) -> dict[str, torch.nn.Parameter]:
    """Trained parameters under the names of the official checkpoint."""
    unet = checkpoints.unet_sources(model.unet, model.config.unet, "model.diffusion_model.")
    named = dict(model.named_parameters())
    projection = {f"cc_projection.{kind}": named[f"projection.{kind}"] for kind in ("weight", "bias")}
    return {source.key: named[f"unet.{name}"] for name, source in unet.items()} | projection


def loss_of_recorded_step(model: Pix2Gestalt, stored: dict[str, Tensor]) -> Tensor:
    scene, target = to_pictures(stored["image_cond_u8"]), to_pictures(stored["image_target_u8"])
    mask = to_pictures(stored["visible_mask_u8"].unsqueeze(-1))
    with torch.no_grad():
        posterior = model.autoencoder.posterior(target)
        sampled = posterior.mean + posterior.std * stored["posterior_noise"]
        z = model.autoencoder.standardise(sampled)
        latents = torch.cat([model.autoencoder.posterior(p).mode() for p in (scene, mask)], dim=1)
    condition = model.training_condition(latents, scene, stored["rand"])
    assert (z - stored["z"]).abs().max() < LATENTS
    assert (condition.latents - stored["c_concat"]).abs().max() < LATENTS
    assert (condition.context - stored["c_crossattn"]).abs().max() < LATENTS
    noisy = model.schedule.add_noise(z, stored["noise"], stored["t"])
    assert within(noisy, stored["x_noisy"], LATENTS)
    assert within(model.denoise(noisy, stored["t"], condition), stored["eps_pred"], LATENTS)
    losses = model.denoising_losses(z, condition, stored["t"], stored["noise"])
    assert (losses - stored["loss_per_sample"]).abs().max() < LOSS
    return losses.mean()


def test_training_step(raw_completion: Pix2Gestalt, completion: Pix2Gestalt, pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("training")
    meta = pix2gestalt_golden.json("manifest")["meta"]
    by_key = parameters_by_key(raw_completion)
    unet = [p for key, p in by_key.items() if not key.startswith("cc_")]
    projection = [p for key, p in by_key.items() if key.startswith("cc_")]
    rates = meta["training"]["lr_used"]
    optimizer = torch.optim.AdamW(
        [{"params": unet, "lr": rates[0]}, {"params": projection, "lr": rates[1]}], weight_decay=0.01
    )
    loss = loss_of_recorded_step(raw_completion, stored)
    assert abs(loss.item() - meta["training"]["loss"]) < LOSS
    loss.backward()
    gradients = {key.removeprefix("grad/"): t for key, t in stored.items() if key.startswith("grad/")}
    for key, expected in gradients.items():
        assert (by_key[key].grad - expected).abs().max() < GRADIENTS, key
    for part, group in (("unet", unet), ("cc_projection", projection)):
        norm = torch.stack([p.grad.norm() for p in group if p.grad is not None]).norm().item()
        wanted = meta["training"][f"grad_norm_{part}"]
        assert abs(norm - wanted) < GRADIENTS * wanted
    optimizer.step()
    for key, expected in stored.items():
        if key.startswith("after/"):
            name = key.removeprefix("after/")
            # An element whose gradient is all but zero may move the other way: twice the rate at most.
            certain = gradients[name].abs() > 1e-6
            error = (by_key[name] - expected).abs()
            assert error[certain].max() < 1e-6, key
            assert error.max() <= 2.02 * max(rates), key
    compare_averages(raw_completion, completion, stored, meta["training"])


def compare_averages(
    trained: Pix2Gestalt, before: Pix2Gestalt, stored: dict[str, Tensor], meta: dict[str, Any]
) -> None:
    averaged = Averaged(trained.unet, decay=0.9999)
    weights = {name: tensor.clone() for name, tensor in before.unet.state_dict().items()}
    averaged.load({"updates": meta["ema_num_updates_after"] - 1, "weights": weights}, trained.unet)
    averaged.update(trained.unet)
    expected = {key.removeprefix("ema_after/"): t for key, t in stored.items() if key.startswith("ema_after/")}
    sources = checkpoints.unet_sources(trained.unet, trained.config.unet, "model.diffusion_model.")
    names = {source.key: name for name, source in sources.items()}
    assert expected
    for key, tensor in expected.items():
        assert (averaged.weights[names[key]] - tensor).abs().max() < 2.02e-4 * (1 - meta["ema_decay_used"]), key
        assert not torch.equal(tensor, before.unet.state_dict()[names[key]])


def test_start_from_the_base_checkpoint(pix2gestalt_golden: Golden) -> None:
    stored = pix2gestalt_golden.tensors("finetune_init")
    for before, after in (("base_conv", "conv_after"), ("base_ema_conv", "ema_conv_after")):
        found = checkpoints.widened(stored[before], stored[after].shape[1])
        assert torch.equal(found, stored[after])


def test_the_base_checkpoint_is_loaded_whole(
    raw_completion: Pix2Gestalt, pix2gestalt_state: dict[str, Tensor], pix2gestalt_golden: Golden
) -> None:
    conv = "model.diffusion_model.input_blocks.0.0.weight"
    base = {key: t for key, t in pix2gestalt_state.items() if not key.startswith("cc_projection")}
    base[conv] = base[conv][:, :4]
    begun = Pix2Gestalt(raw_completion.config)
    checkpoints.load_training_start(begun, base)
    kernel = begun.unet.conv_in.weight
    assert torch.equal(kernel[:, :4], base[conv])
    assert not kernel[:, 4:].any()
    assert torch.equal(begun.projection.weight, torch.eye(len(begun.projection.bias)))
    assert not begun.projection.bias.any()
    expected = raw_completion.state_dict()
    for name, tensor in begun.state_dict().items():
        assert name.startswith(("unet.conv_in.weight", "projection.")) or torch.equal(tensor, expected[name]), name
    del base["first_stage_model.quant_conv.bias"]
    with pytest.raises(checkpoints.CheckpointMismatchError, match="quant_conv"):
        checkpoints.load_training_start(begun, base)
