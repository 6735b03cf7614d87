"""`unocclude train WHAT`: from a configuration to data or weights."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from unocclude.data.inputs import write_inputs
from unocclude.data.library import write_library
from unocclude.data.pairs import PairLibrary, write_pairs
from unocclude.data.scenes import SceneSource
from unocclude.devices import pick_device
from unocclude.errors import InputError
from unocclude.models.autoencoder import Autoencoder, AutoencoderConfig
from unocclude.models.hollow_guess import HollowGuess
from unocclude.models.pix2gestalt import Pix2Gestalt
from unocclude.models.registry import BUNDLED
from unocclude.models.syncdreamer import SyncDreamer
from unocclude.models.view_guess import ViewGuess
from unocclude.models.weights import load_bundled, save_bundled
from unocclude.training.autoencoder import AutoencoderTask
from unocclude.training.completion import CompletionTask
from unocclude.training.elevation import ElevationTask
from unocclude.training.guess import GuessTask
from unocclude.training.hollows import HollowsTask
from unocclude.training.loop import Schedule, Task, train
from unocclude.training.segmenter import SegmenterTask
from unocclude.training.thumbnail_start import start_as_thumbnail
from unocclude.training.views import ViewsTask

STEPS = (
    "objects", "pairs", "autoencoder", "segmenter", "completion", "inputs", "elevation", "guess", "hollows", "views",
)  # fmt: skip
DEFAULT = Path(__file__).parent / "default.toml"


@dataclass(frozen=True)
class TrainingConfig:
    """`folder` holds data, latents and checkpoints. `photographs`: folders of background pictures, may be empty.
    `meshes`: folders of models that join the procedural objects, may be empty.

    `minutes`: of training in all, by model, counted over resumed runs; `rates`: learning rates by model;
    `batches`: examples a step by model. `workers` make data, and batches ahead of a GPU.
    """

    folder: Path
    photographs: tuple[Path, ...]
    meshes: tuple[Path, ...]
    objects: int
    pairs: int
    scenes: int
    workers: int
    seed: int
    device: str
    save_every_minutes: float
    minutes: dict[str, float]
    rates: dict[str, float]
    batches: dict[str, int]


def read_config(path: Path | None) -> TrainingConfig:
    """The default configuration, with what `path` says instead. Raises InputError for unknown entries."""
    values = tomllib.loads(DEFAULT.read_text())
    if path is not None:
        try:
            own = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"The configuration {path} cannot be read: {error}.", "It is a TOML file.") from error
        for name, value in own.items():
            values[name] = values.get(name, {}) | value if isinstance(value, dict) else value
    unknown = set(values) - {f.name for f in fields(TrainingConfig)}
    if unknown:
        raise InputError(f"Unknown entries: {', '.join(sorted(unknown))}.", f"{DEFAULT.name} shows all there are.")
    photographs, meshes = (tuple(Path(p) for p in values.pop(name)) for name in ("photographs", "meshes"))
    return TrainingConfig(folder=Path(values.pop("folder")), photographs=photographs, meshes=meshes, **values)


def run(what: str, path: Path | None) -> None:
    """Resumes where an earlier run of the same configuration stopped. `all` is everything, in order."""
    config = read_config(path)
    for step in STEPS if what == "all" else (what,):
        _run(step, config)


def _run(what: str, config: TrainingConfig) -> None:
    if what == "objects":
        folder = config.folder / "objects"
        _follow(write_library(folder, config.objects, config.seed, config.workers, config.meshes))
    elif what == "pairs":
        _follow(write_pairs(config.folder / "pairs", _scenes(config), config.pairs, config.seed, config.workers))
    elif what == "inputs":
        _follow(write_inputs(config.folder / "inputs", _scenes(config), config.objects, config.seed, config.workers))
    else:
        device = pick_device(config.device)
        schedule = Schedule(
            minutes=config.minutes[what],
            rate=config.rates[what],
            save_every_minutes=config.save_every_minutes,
            seed=config.seed,
            workers=config.workers if device.type == "cuda" else 0,
        )
        # These are not bundled by themselves: the completion and the view model carry them inside.
        weights = config.folder if what in ("autoencoder", "guess", "hollows") else BUNDLED
        train(_task(what, config, device), schedule, config.folder / what, weights / f"{what}.safetensors", device)


def _follow(shards: Iterator[Path]) -> None:
    for shard in shards:
        print(shard, flush=True)


def _scenes(config: TrainingConfig) -> SceneSource:
    return SceneSource(config.folder / "objects", config.photographs)


def _autoencoder(own: Path) -> Autoencoder:
    """The one trained here, or else the one that the bundled completion model carries, or else a new one."""
    if own.exists():
        return load_bundled(own, Autoencoder)
    bundled = BUNDLED / "completion.safetensors"
    if bundled.exists():
        return load_bundled(bundled, Pix2Gestalt).autoencoder
    autoencoder = Autoencoder(AutoencoderConfig.bundled())
    start_as_thumbnail(autoencoder)
    return autoencoder


def _guesses(folder: Path) -> tuple[ViewGuess, HollowGuess]:
    """Those trained here. What is not there begins as what the bundled view model carries, so that training has it to
    better.
    """
    guess, hollows = folder / "guess.safetensors", folder / "hollows.safetensors"
    bundled = load_bundled(BUNDLED / "views.safetensors", SyncDreamer)
    for path, network in ((guess, bundled.guess), (hollows, bundled.hollows)):
        if not path.exists():
            assert network is not None
            folder.mkdir(parents=True, exist_ok=True)
            save_bundled(network, path, {"from": "views.safetensors"})
    return load_bundled(guess, ViewGuess), load_bundled(hollows, HollowGuess)


def _task(what: str, config: TrainingConfig, device: torch.device) -> Task:
    folder, batch = config.folder, config.batches[what]
    if what == "segmenter":
        return SegmenterTask.prepared(
            _scenes(config), folder / "segmenter", config.scenes, config.seed, config.workers, batch
        )
    if what == "elevation":
        return ElevationTask(folder, batch)
    autoencoder = _autoencoder(folder / "autoencoder.safetensors").to(device)
    if what == "autoencoder":
        return AutoencoderTask(PairLibrary.in_folder(folder / "pairs"), autoencoder, batch)
    if what == "completion":
        return CompletionTask(folder / "pairs", folder / "latents" / "pairs", autoencoder, batch)
    guess, hollows = _guesses(folder)
    guess, hollows = guess.to(device), hollows.to(device)
    if what == "guess":
        return GuessTask(folder, autoencoder, guess, batch)
    kind = HollowsTask if what == "hollows" else ViewsTask
    return kind(folder, autoencoder, guess, hollows, batch)
