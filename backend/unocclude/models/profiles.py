"""The networks of a profile: the same classes with the bundled weights or with the official ones."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import nn

from unocclude.models.checkpoints import load_clip, load_pix2gestalt, load_syncdreamer
from unocclude.models.clip import Clip, ClipConfig, Tokenizer
from unocclude.models.converted import OfficialNetwork, load_official
from unocclude.models.elevation import ElevationEstimator
from unocclude.models.memory import tier_for
from unocclude.models.model_folder import ModelFolder, sha256_of
from unocclude.models.pix2gestalt import Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.registry import BUNDLED
from unocclude.models.segmenter import PromptableSegmenter, official_segmenter
from unocclude.models.syncdreamer import SyncDreamer, SyncDreamerConfig
from unocclude.models.weights import load_bundled
from unocclude.profiles import profile_named

Network = TypeVar("Network", bound=nn.Module)

BUNDLED_NAMES = {"segment": "segmenter", "complete": "completion", "views": "views", "elevation": "elevation"}
PIX2GESTALT = OfficialNetwork(
    lambda: Pix2Gestalt(Pix2GestaltConfig.official()), load_pix2gestalt, single=("autoencoder.",)
)
CLIP = OfficialNetwork(lambda: Clip(ClipConfig.official()), load_clip)
SYNCDREAMER = OfficialNetwork(
    lambda: SyncDreamer(SyncDreamerConfig.official()),
    load_syncdreamer,
    single=("autoencoder.", "volumes.view_grid", "volumes.frustum_grid"),
)


@dataclass(frozen=True)
class Weights:
    """A network that need not be in memory to be told from others.

    `load` gives the network itself, `digest` a text that differs wherever its answers may.
    """

    load: Callable[[], nn.Module]
    digest: Callable[[], str]


class Models:
    """The networks of one profile on one device, each loaded when a stage first asks for it.

    Official networks are large, so only the one in use stays loaded.
    """

    def __init__(self, profile: str, device: torch.device, weights: Path | None = None) -> None:
        """`weights`: the folder of the official files, by default the user's own.

        Raises InputError for an unknown profile.
        """
        self.name = profile
        self.profile = profile_named(profile)
        self.device = device
        self.tier = tier_for(device)
        self._weights = ModelFolder(weights)
        self._loaded: dict[Path, nn.Module] = {}
        self._hashes: dict[str, str] = {}

    def require(self, stages: Sequence[str]) -> None:
        """Raises ModelsMissingError, before any work is done, if the weights of one of these stages are not there."""
        if self.name == "official":
            for stage in stages:
                if stage != "mesh":
                    self._weights.find(stage)

    def segmenter(self) -> PromptableSegmenter:
        return self._network("segment", PromptableSegmenter, official_segmenter)

    def completion(self) -> Pix2Gestalt:
        return self._network("complete", Pix2Gestalt, lambda path: PIX2GESTALT)

    def views(self) -> SyncDreamer:
        return self._network("views", SyncDreamer, lambda path: SYNCDREAMER)

    def elevation(self) -> ElevationEstimator:
        """Bundled in every profile: SyncDreamer's authors publish none."""
        return self._bundled("elevation", ElevationEstimator)

    def weights(self, use: str) -> Weights:
        """The network for `segment`, `complete`, `views` or `elevation`, loaded where it is needed."""
        loaders: dict[str, Callable[[], nn.Module]] = {
            "segment": self.segmenter,
            "complete": self.completion,
            "views": self.views,
            "elevation": self.elevation,
        }
        return Weights(loaders[use], lambda: self._digest(use))

    def clip(self) -> tuple[Clip, Tokenizer]:
        """OpenAI's, in every profile: there is no bundled one."""
        tokenizer = Tokenizer(self._weights.find("vocabulary"))

        def load(path: Path) -> tuple[Clip, str]:
            clip, sha256 = load_official(path, CLIP, self._weights.path / "converted", half=False)
            return clip.to(self.device), sha256

        return self._official("recognise", load), tokenizer

    def hashes(self) -> dict[str, str]:
        """sha256 of the weight files used so far, by name."""
        return dict(self._hashes)

    def _digest(self, use: str) -> str:
        bundled = self.name == "bundled" or use == "elevation"
        path = BUNDLED / f"{BUNDLED_NAMES[use]}.safetensors" if bundled else self._weights.find(use)
        status = path.stat()
        self._hashes[path.name] = _known_sha256(path, status.st_size, status.st_mtime_ns)
        return f"{self._hashes[path.name]} {self.tier.encoder_in_ram}"

    def _network(
        self, stage: str, kind: type[Network], official: Callable[[Path], OfficialNetwork[Network]]
    ) -> Network:
        if self.name == "bundled":
            return self._bundled(BUNDLED_NAMES[stage], kind)
        return self._official(stage, lambda path: self._converted(path, official(path)))

    def _official(self, use: str, load: Callable[[Path], tuple[Network, str]]) -> Network:
        path = self._weights.find(use)
        if path not in self._loaded:
            self._loaded.clear()
            gc.collect()
            self._loaded[path], self._hashes[path.name] = load(path)
        return cast(Network, self._loaded[path])

    def _bundled(self, name: str, kind: type[Network]) -> Network:
        path = BUNDLED / f"{name}.safetensors"
        if path not in self._loaded:
            self._loaded[path] = load_bundled(path, kind).to(self.device)
            self._hashes[path.name] = sha256_of(path)
        return cast(Network, self._loaded[path])

    def _converted(self, path: Path, network: OfficialNetwork[Network]) -> tuple[Network, str]:
        """Half precision on a GPU; a CPU is faster with single."""
        half = self.device.type == "cuda"
        module, sha256 = load_official(path, network, self._weights.path / "converted", half)
        module.to(self.device)
        if self.tier.encoder_in_ram and isinstance(module, Pix2Gestalt | SyncDreamer):
            module.image_encoder.to("cpu", torch.float32)
        return module, sha256


@lru_cache
def _known_sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Of a file that has not changed since."""
    return sha256_of(path)
