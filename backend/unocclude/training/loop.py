"""The training loop that every bundled model shares: resumable, averaged weights, loss curve, validation pictures."""

from __future__ import annotations

import copy
import itertools
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from unocclude.models.weights import load_bundled
from unocclude.pipeline.types import Image as Picture

Tensors = dict[str, Tensor]


class Task(Protocol):
    """What a model's training file provides."""

    merit: str
    """The validation figure that says which weights are better: the higher the better, after a minus the lower."""

    @property
    def module(self) -> nn.Module:
        """The trainable module; its averaged copy is what gets bundled."""
        ...

    def draw(self, rng: np.random.Generator) -> Tensors:
        """One batch, on the CPU. All randomness from `rng`. May be called in another process."""
        ...

    def loss(self, batch: Tensors, rng: np.random.Generator) -> Tensor:
        """A batch's loss, scalar, with gradient. The batch is where the module is."""
        ...

    def validate(self, averaged: nn.Module, device: torch.device) -> tuple[dict[str, float], Picture]:
        """Figures on fixed validation data and a picture for people."""
        ...

    def export(self, averaged: nn.Module, path: Path, card: dict[str, Any]) -> None:
        """Writes the bundled weights."""
        ...


@dataclass(frozen=True)
class Schedule:
    """`minutes` of training in all, counted over resumed runs; the rate warms up, then falls to 0 along a cosine.

    `workers`: processes that draw batches ahead, where a GPU would wait for them; with 0 the training process draws.
    """

    minutes: float
    rate: float = 4e-4
    warmup_steps: int = 100
    decay: float = 0.999
    weight_decay: float = 0.01
    save_every_minutes: float = 5.0
    seed: int = 0
    workers: int = 0


class _Batches(Dataset[Tensors]):
    """Batch number n, the same whoever draws it."""

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._seed = task, seed

    def __getitem__(self, step: int) -> Tensors:
        return self._task.draw(np.random.default_rng([self._seed, step]))


class Averaged:
    """Exponential moving average of a module's weights, its decay warmed up as (1 + n) / (10 + n)."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def update(self, module: nn.Module) -> None:
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        pairs = [(self.weights[name], value.detach()) for name, value in module.state_dict().items()]
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([own for own, _ in floats], [new for _, new in floats], 1 - decay)
        for own, new in pairs:
            if not own.is_floating_point():
                own.copy_(new)

    def state(self) -> dict[str, Any]:
        return {"updates": self._updates, "weights": self.weights}

    def load(self, state: dict[str, Any], module: nn.Module) -> None:
        self._updates = state["updates"]
        self.weights |= _learned(state["weights"], module)


def train(task: Task, schedule: Schedule, folder: Path, bundled: Path, device: torch.device) -> None:
    """Trains from the last checkpoint in `folder` until `schedule.minutes` are used up, then exports to `bundled`.

    Where there is no checkpoint, it begins with the weights in `bundled`, if there are any, and of the same shapes.
    What validates best is exported: the trained weights or the mean of those with the ones in `bundled`, which often
    has the merits of both (model soups, arXiv 2203.05482); nothing, where `bundled` is better than either. Frozen
    parameters are always the task's own: what it is given may have learned more since. Where bfloat16 is fast, it
    computes in it what autocast deems safe.

    `folder` gets checkpoint.pt, history.jsonl, loss.png and validation_*.png. A run that has used up its minutes goes
    on when the schedule grants more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_float32_matmul_precision("high")
    module, gpu = task.module, device.type == "cuda"
    checkpoint = folder / "checkpoint.pt"
    module.to(device)
    before, earlier = None, None
    if bundled.exists():
        previous = load_bundled(bundled, type(module)).to(device)
        with torch.inference_mode():
            before = task.validate(previous.eval(), device)[0]
        if _shapes(previous) == _shapes(module):
            earlier = _learned(previous.state_dict(), module)
        if earlier is not None and not checkpoint.exists():
            module.load_state_dict(earlier, strict=False)
    module.train()
    optimiser = torch.optim.AdamW(module.parameters(), lr=schedule.rate, weight_decay=schedule.weight_decay, fused=gpu)
    averaged = Averaged(module, schedule.decay)
    step, used = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        module.load_state_dict(_learned(state["module"], module), strict=False)
        optimiser.load_state_dict(state["optimiser"])
        averaged.load(state["averaged"], module)
        step, used = state["step"], state["seconds"]
    budget = schedule.minutes * 60
    batches = iter(_loader(task, schedule, step, gpu))
    last, saved, losses = time.monotonic(), used, []
    with tqdm(total=round(budget), initial=round(used), unit="s", desc=bundled.stem) as bar:
        while used < budget:
            share = min(used / budget, 1.0)
            rate = schedule.rate * min(1.0, (step + 1) / schedule.warmup_steps) * 0.5 * (1 + np.cos(np.pi * share))
            for group in optimiser.param_groups:
                group["lr"] = float(rate)
            torch.manual_seed(schedule.seed * 1_000_003 + step)
            batch = {name: tensor.to(device, non_blocking=True) for name, tensor in next(batches).items()}
            with torch.autocast(device.type, torch.bfloat16, enabled=_bfloat16_is_fast(device)):
                loss = task.loss(batch, np.random.default_rng([schedule.seed, step, 1]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            averaged.update(module)
            step += 1
            losses.append(loss.detach())
            now = time.monotonic()
            bar.update(round(used + now - last) - round(used))
            used, last = used + now - last, now
            if used - saved >= schedule.save_every_minutes * 60 or used >= budget:
                _save(checkpoint, module, optimiser, averaged, step, used)
                figures = _report(task, averaged, folder, step, used, float(torch.stack(losses).mean()), device)
                bar.write(f"step {step}: {figures}")
                saved, losses, last = used, [], time.monotonic()
    contenders = {"trained": averaged.weights}
    if earlier is not None:
        contenders["mean of before and trained"] = _mean(averaged.weights, earlier)
    evaluated = {name: _evaluated(task, weights, device) for name, weights in contenders.items()}
    validated = {name: own for name, ((own, _), _) in evaluated.items()} | ({"before": before} if before else {})
    best = max(validated, key=lambda name: _merit(task, validated[name]))
    print(f"{bundled.name}: {best} is best of {validated}")
    if best != "before":
        card = {"steps": step, "minutes": round(used / 60, 1), "device": str(device), "weights": best}
        task.export(evaluated[best][1], bundled, card)


def _mean(weights: Tensors, others: Tensors) -> Tensors:
    """`weights`, halfway to `others` where those have them."""
    halfway = {
        name: torch.lerp(weights[name], other, 0.5) for name, other in others.items() if other.is_floating_point()
    }
    return weights | halfway


def _bfloat16_is_fast(device: torch.device) -> bool:
    """On CUDA, and on processors with matrix units for it (AMX); others emulate it."""
    return device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_amx_tile_supported())


def _learned(weights: Tensors, module: nn.Module) -> Tensors:
    """Saved weights of a module without those that are frozen in it."""
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in weights.items() if name not in frozen}


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}


def _merit(task: Task, figures: dict[str, float]) -> float:
    name = task.merit.removeprefix("-")
    return -figures[name] if name != task.merit else figures[name]


def _loader(task: Task, schedule: Schedule, first: int, pinned: bool) -> DataLoader[Tensors]:
    """Batches number `first`, `first` + 1 and so on."""
    return DataLoader(
        _Batches(task, schedule.seed),
        batch_size=None,
        sampler=itertools.count(first),
        num_workers=schedule.workers,
        pin_memory=pinned,
    )


def _save(
    path: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    averaged: Averaged,
    step: int,
    seconds: float,
) -> None:
    partial = path.with_suffix(".partial")
    state = {
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "averaged": averaged.state(),
        "step": step,
        "seconds": seconds,
    }
    torch.save(state, partial)
    os.replace(partial, path)


def _evaluated(
    task: Task, weights: Tensors, device: torch.device
) -> tuple[tuple[dict[str, float], Picture], nn.Module]:
    """(the task's validation of these weights, a module that holds them)."""
    module = copy.deepcopy(task.module)
    module.load_state_dict(weights)
    module.eval()
    with torch.inference_mode():
        return task.validate(module, device), module


def _report(
    task: Task,
    averaged: Averaged,
    folder: Path,
    step: int,
    seconds: float,
    loss: float,
    device: torch.device,
) -> dict[str, float]:
    (figures, picture), _ = _evaluated(task, averaged.weights, device)
    entry = {"step": step, "minutes": round(seconds / 60, 2), "loss": loss, **figures}
    with (folder / "history.jsonl").open("a") as stream:
        stream.write(json.dumps(entry) + "\n")
    Image.fromarray(picture).save(folder / f"validation_{step:07d}.png")
    _plot(folder)
    return entry


def _plot(folder: Path) -> None:
    from matplotlib.figure import Figure  # heavy, and wanted only here

    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    names = [name for name in history[-1] if name not in ("step", "minutes")]
    figure = Figure(figsize=(4 * len(names), 3), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        axes.plot([h["step"] for h in history], [h.get(name, np.nan) for h in history])
        axes.set(title=name, xlabel="step")
    figure.savefig(folder / "loss.png", dpi=80)
