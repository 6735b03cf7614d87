"""`unocclude bench`: seconds and peak memory of each stage's network on this machine.

With random weights it needs no download: time and memory do not depend on what the weights are. Each stage runs in a
process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from unocclude.cameras import VIEW_SIZE
from unocclude.devices import pick_device
from unocclude.models.converted import parameters_without_memory
from unocclude.models.memory import Passes, inference, tier_for
from unocclude.models.pix2gestalt import Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.profiles import PIX2GESTALT, SYNCDREAMER
from unocclude.models.segmenter import SINGLE, PromptableSegmenter, SegmenterConfig
from unocclude.models.syncdreamer import SyncDreamer, SyncDreamerConfig
from unocclude.pipeline.completion_samples import sample_completions
from unocclude.pipeline.report import peak_ram_mb
from unocclude.pipeline.types import Completion, Crop
from unocclude.pipeline.views import generate_views
from unocclude.profiles import profile_named

Network = TypeVar("Network", bound=nn.Module)
SAMPLES = 4
TIMESTEP = 500


@dataclass(frozen=True)
class Measured:
    """Of one stage: millions of parameters, wall-clock and processor seconds by part, peak memory in MiB.

    The memory is the GPU's where there is one. On a machine that others use too, processor seconds say more.
    """

    stage: str
    parameters: float
    seconds: dict[str, float]
    processor_seconds: dict[str, float]
    peak: int | None


def bench(profile: str, device: str, out: Path | None, whole: bool | None = None) -> list[Measured]:
    """Prints a table of all stages with random weights, and writes bench.md and bench.json to `out`.

    `whole`: the stages as in a job instead of one step of each network; by default on a GPU. Raises InputError for
    an unknown profile or device.
    """
    profile_named(profile)
    chosen = pick_device(device)
    whole = chosen.type == "cuda" if whole is None else whole
    found = []
    for stage in STAGES:
        # A new process for each, since a process never forgets its peak.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found.append(pool.submit(measure, stage, profile, str(chosen), whole).result())
        print(_lines([found[-1]]), end="", flush=True)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        text = f"# {profile}, random weights, {_machine(chosen)}\n\n{HEADER}{_lines(found)}"
        (out / "bench.md").write_text(text, encoding="utf-8")
        (out / "bench.json").write_text(json.dumps([asdict(row) for row in found], indent=2), encoding="utf-8")
    return found


def measure(stage: str, profile: str, device: str, whole: bool) -> Measured:
    """In this process."""
    torch.manual_seed(0)
    clock = _Clock(torch.device(device))
    network = STAGES[stage](profile, torch.device(device), clock, whole)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Measured(stage, round(parameters / 1e6, 1), clock.seconds, clock.processor_seconds, clock.peak())


def _segment(profile: str, device: torch.device, clock: _Clock, whole: bool) -> nn.Module:
    config = SegmenterConfig.official("h") if profile == "official" else SegmenterConfig.bundled()
    network = _random(lambda: PromptableSegmenter(config), device, SINGLE)
    picture = torch.rand(1, 3, config.image_size, config.image_size, device=device) * 255
    points, labels = torch.full((1, 1, 2), config.image_size / 2, device=device), torch.ones(1, 1, device=device)
    with inference(network):
        with clock.timed("encode the image"):
            encoded = network.encode(picture)
        with clock.timed("a click"):
            network.decode(encoded, points, labels)
    return network


def _complete(profile: str, device: torch.device, clock: _Clock, whole: bool) -> nn.Module:
    config = Pix2GestaltConfig.official() if profile == "official" else Pix2GestaltConfig.bundled()
    network = _random(lambda: Pix2Gestalt(config), device, PIX2GESTALT.single)
    defaults = profile_named(profile)
    image, visible = _scene()
    if whole:
        steps, passes = defaults.completion_steps, Passes(tier_for(device).at_once)
        with clock.timed(f"{SAMPLES} samples of {steps} steps"):
            crop = Crop(0, 0, VIEW_SIZE)
            sample_completions(
                image, visible, crop, network, samples=SAMPLES, steps=steps, guidance=2.0, seed=0, passes=passes
            )
        return network
    picture = torch.rand(1, 3, VIEW_SIZE, VIEW_SIZE, device=device) * 2 - 1
    with inference(network):
        with clock.timed("encode picture and mask"):
            condition = network.encode_condition(picture, picture[:, :1])
        z = torch.randn(1, 4, VIEW_SIZE // 8, VIEW_SIZE // 8, device=device)
        with clock.timed("a guided step of a sample"):
            network.guided(z, _timestep(device), condition, 2)
        with clock.timed("decode a sample"):
            network.decode(z)
    return network


def _views(profile: str, device: torch.device, clock: _Clock, whole: bool) -> nn.Module:
    config = SyncDreamerConfig.official() if profile == "official" else SyncDreamerConfig.bundled()
    network = _random(lambda: SyncDreamer(config), device, SYNCDREAMER.single)
    if whole:
        steps, passes = profile_named(profile).view_steps, Passes(tier_for(device).at_once)
        image, visible = _scene()
        completion = Completion(np.dstack([image, 255 * visible.astype(np.uint8)]))
        with clock.timed(f"16 views of {steps} steps"):
            generate_views(completion, 20, network, steps=steps, guidance=2, seed=0, passes=passes)
        return network
    picture = torch.rand(1, 3, VIEW_SIZE, VIEW_SIZE, device=device) * 2 - 1
    with inference(network):
        with clock.timed("encode the picture"):
            condition = network.encode_input(picture, torch.zeros(1, device=device))
        noisy, t = torch.randn(1, 16, 4, 32, 32, device=device), _timestep(device)
        with clock.timed("the volume of all views"):
            spatial = network.spatial_volume(noisy, t, condition)
        with clock.timed("a guided step of a view"):
            seen = network.view_condition(spatial, t, condition, torch.zeros(1, 1, dtype=torch.long, device=device))
            network.denoise_views(noisy[:, 0], t, seen, 2)
        with clock.timed("decode a view"):
            network.decode(noisy[:, 0])
    return network


STAGES: dict[str, Callable[[str, torch.device, _Clock, bool], nn.Module]] = {
    "segment": _segment,
    "complete": _complete,
    "views": _views,
}


def _random(build: Callable[[], Network], device: torch.device, single: tuple[str, ...]) -> Network:
    """On the device, in the precision that the profiles use there, without first filling twice the memory."""
    with parameters_without_memory():
        network = build()

    def weights(name: str, shape: torch.Size) -> Tensor:
        half = device.type == "cuda" and len(shape) > 1 and not name.startswith(single)
        dtype = torch.float16 if half else torch.float32
        return torch.empty(shape, dtype=dtype, device=device).normal_(0, 0.02)

    filled = {name: weights(name, t.shape) for name, t in network.state_dict().items() if t.is_meta}
    network.load_state_dict(filled, strict=False, assign=True)
    return network.to(device).requires_grad_(False).eval()


def _timestep(device: torch.device) -> Tensor:
    return torch.tensor([TIMESTEP], device=device)


def _scene() -> tuple[np.ndarray, np.ndarray]:
    """A picture (256, 256, 3) of noise, and the mask of a disc in it."""
    image = np.random.default_rng(0).integers(0, 256, (VIEW_SIZE, VIEW_SIZE, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:VIEW_SIZE, :VIEW_SIZE] - VIEW_SIZE // 2
    return image, rows**2 + columns**2 < 60**2


class _Clock:
    """Seconds by part, with the device's queue emptied before and after."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}
        self.processor_seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        self._wait()
        start, processor = time.perf_counter(), time.process_time()
        yield
        self._wait()
        self.seconds[part] = round(time.perf_counter() - start, 3)
        self.processor_seconds[part] = round(time.process_time() - processor, 3)

    def peak(self) -> int | None:
        if self._device.type == "cuda":
            return round(torch.cuda.max_memory_allocated(self._device) / 2**20)
        return peak_ram_mb()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


HEADER = (
    "| stage | parameters, million | peak memory, MiB | part | seconds | processor seconds |\n"
    "|---|---|---|---|---|---|\n"
)


def _lines(rows: list[Measured]) -> str:
    return "".join(
        f"| {row.stage} | {row.parameters} | {row.peak} | {part} | {seconds} | {row.processor_seconds[part]} |\n"
        for row in rows
        for part, seconds in row.seconds.items()
    )


def _machine(device: torch.device) -> str:
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}, {sys.platform}"
