"""One training step of SyncDreamer, without and with dropped conditions, against the recorded ones."""

from __future__ import annotations

import pytest
import torch
from golden_files import Golden, within
from unocclude.models import checkpoints
from unocclude.models.syncdreamer import InputCondition, SyncDreamer

LOSS = 1e-4
TYPICAL, LARGEST = 1e-3, 1e-2
"""Relative errors of gradient norms. A few exceed the typical one: the depth attention ends in ReLUs, and an activation
within rounding of zero (a handful among millions) lets its gradient pass here and not there. Moving one from -9e-6
over zero takes the errors around it from 5e-3 to 1e-5.
"""
NOTHING = 1e-6
"""Norms below are rounding: such parameters precede a normalisation, which takes their effect away."""
SCALE = 0.18215


@pytest.mark.parametrize("case", ["nodrop", "drop"])
def test_training_step(case: str, synthesis: SyncDreamer, syncdreamer_golden: Golden) -> None:
    stored = syncdreamer_golden.tensors("train_step")
    norms = syncdreamer_golden.json("manifest_diffusion")[f"train_{case}_grad_norms"]
    condition = InputCondition(stored["x_input"] / SCALE, stored["clip_embed"][:, 0], stored["elevation_rad"])
    drop = stored["drop_random"] if case == "drop" else torch.ones_like(stored["drop_random"])
    losses = synthesis.denoising_losses(
        stored["x_start"], condition, stored["time_steps"], stored["target_index"], stored["noise"], drop
    )
    loss = losses.mean()
    assert loss.item() == pytest.approx(stored[f"{case}.loss"].item(), rel=LOSS)
    named = dict(synthesis.named_parameters())
    trained = {s.key: named[n] for n, s in checkpoints.syncdreamer_sources(synthesis).items() if s.key in norms}
    assert trained.keys() == norms.keys()
    gradients = dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))
    errors = torch.tensor(
        [abs(gradients[key].norm().item() - norm) / norm for key, norm in norms.items() if norm > NOTHING]
    )
    assert errors.median() < TYPICAL
    assert errors.max() < LARGEST
    assert all(gradients[key].norm() < 2 * NOTHING for key, norm in norms.items() if norm <= NOTHING)
    prefix = f"{case}.grad."
    compared = [key for key in stored if key.startswith(prefix)]
    assert len(compared) == 3
    for key in compared:
        assert within(gradients[key.removeprefix(prefix)], stored[key], LARGEST), key
