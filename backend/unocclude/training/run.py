"""`unocclude train WHAT`: from a configuration to data or weights."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from unocclude.data.backgrounds import Backgrounds
from unocclude.data.library import ObjectLibrary, write_library
from unocclude.data.pairs import PairLibrary, write_pairs
from unocclude.data.scenes import SceneMaker
from unocclude.errors import InputError
from unocclude.models.autoencoder import Autoencoder, AutoencoderConfig
from unocclude.models.pix2gestalt import Pix2Gestalt
from unocclude.models.profiles import pick_device
from unocclude.models.registry import BUNDLED
from unocclude.models.weights import load_bundled
from unocclude.training.autoencoder import AutoencoderTask
from unocclude.training.completion import CompletionTask
from unocclude.training.elevation import ElevationTask
from unocclude.training.loop import Schedule, Task, train
from unocclude.training.segmenter import SegmenterTask
from unocclude.training.views import ViewsTask

STEPS = ("objects", "pairs", "autoencoder", "segmenter", "elevation", "completion", "views")
DEFAULT = Path(__file__).parent / "default.toml"


@dataclass(frozen=True)
class TrainingConfig:
    """`folder` holds data, latents and checkpoints. `photographs`: folders of background pictures, may be empty.

    `minutes`: of training in all, by model, counted over resumed runs; `rates`: learning rates by model.
    """

    folder: Path
    photographs: tuple[Path, ...]
    objects: int
    pairs: int
    scenes: int
    workers: int
    seed: int
    device: str
    minutes: dict[str, float]
    rates: dict[str, float]


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
    photographs = tuple(Path(p) for p in values.pop("photographs"))
    return TrainingConfig(folder=Path(values.pop("folder")), photographs=photographs, **values)


def run(what: str, path: Path | None) -> None:
    """Resumes where an earlier run of the same configuration stopped. `all` is everything, in order."""
    config = read_config(path)
    for step in STEPS if what == "all" else (what,):
        _run(step, config)


def _run(what: str, config: TrainingConfig) -> None:
    if what == "objects":
        _objects(config)
    elif what == "pairs":
        _pairs(config)
    else:
        device = pick_device(config.device)
        schedule = Schedule(minutes=config.minutes[what], rate=config.rates[what], seed=config.seed)
        # The autoencoder is not bundled by itself: the completion and the view model carry it inside.
        weights = config.folder if what == "autoencoder" else BUNDLED
        train(_task(what, config, device), schedule, config.folder / what, weights / f"{what}.safetensors", device)


def _objects(config: TrainingConfig) -> None:
    for shard in write_library(config.folder / "objects", config.objects, config.seed, config.workers):
        print(shard, flush=True)


def _pairs(config: TrainingConfig) -> None:
    for shard in write_pairs(config.folder / "pairs", _scene_maker(config), config.pairs, config.seed):
        print(shard, flush=True)


def _scene_maker(config: TrainingConfig) -> SceneMaker:
    return SceneMaker(ObjectLibrary.in_folder(config.folder / "objects"), Backgrounds(list(config.photographs)))


def _autoencoder(own: Path) -> Autoencoder:
    """The one trained here, or else the one that the bundled completion model carries."""
    if own.exists():
        return load_bundled(own, Autoencoder)
    return load_bundled(BUNDLED / "completion.safetensors", Pix2Gestalt).autoencoder


def _task(what: str, config: TrainingConfig, device: torch.device) -> Task:
    folder = config.folder
    if what == "segmenter":
        return SegmenterTask.prepared(_scene_maker(config), folder / "segmenter", config.scenes, config.seed)
    if what == "elevation":
        return ElevationTask(ObjectLibrary.in_folder(folder / "objects"))
    if what == "autoencoder":
        return AutoencoderTask(PairLibrary.in_folder(folder / "pairs"), AutoencoderConfig.bundled())
    autoencoder = _autoencoder(folder / "autoencoder.safetensors").to(device)
    if what == "completion":
        return CompletionTask(folder / "pairs", folder / "latents" / "pairs", autoencoder)
    return ViewsTask(folder / "objects", folder / "latents" / "objects", autoencoder)
