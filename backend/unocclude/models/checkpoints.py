"""The official checkpoints: opened without running their pickles, accounted for tensor by tensor, loaded.

A checkpoint fits when every parameter of the network finds its tensor in the right shape, and every tensor of
the file has a use or a known reason to be left out.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint

from unocclude.cameras import VIEW_COUNT, intrinsics, target_cameras
from unocclude.errors import ModelsMissingError
from unocclude.models.autoencoder import Autoencoder
from unocclude.models.checkpoint_names import (
    autoencoder_name,
    clip_layer_name,
    depth_transformer_name,
    image_encoder_name,
    unet_name,
    volumes_name,
)
from unocclude.models.clip import Clip
from unocclude.models.image_encoder import ImageEncoder
from unocclude.models.pix2gestalt import Pix2Gestalt
from unocclude.models.syncdreamer import SyncDreamer
from unocclude.models.torchscript import is_torchscript, read_torchscript
from unocclude.models.unet import UNetConfig

StateDict = Mapping[str, Tensor]

SCHEDULE_BUFFERS = r"(sqrt_)?(one_minus_|recip_|recipm1_|log_one_minus_)?(betas|alphas)(_cumprod)?(_prev)?"
POSTERIOR_BUFFERS = r"posterior_(variance|log_variance_clipped|mean_coef[12])"
TEXT_TOWER = r"\.model\.(positional_embedding|text_projection|logit_scale|token_embedding\.weight|ln_final\.\w+)"
CAMERAS = r"poses|Ks|azimuth"

PIX2GESTALT_UNUSED = re.compile(
    rf"{SCHEDULE_BUFFERS}|{POSTERIOR_BUFFERS}|cond_stage_model{TEXT_TOWER}"
    r"|model\.diffusion_model\..+|model_ema\.(decay|num_updates)"
)
"""Among others the plain UNet: pictures are made with its moving average, model_ema."""
TRAINING_START_UNUSED = re.compile(
    rf"{SCHEDULE_BUFFERS}|{POSTERIOR_BUFFERS}|cond_stage_model{TEXT_TOWER}|model_ema\..+"
)
CLIP_UNUSED = re.compile(r"input_resolution|context_length|vocab_size")
SYNCDREAMER_UNUSED = re.compile(rf"{SCHEDULE_BUFFERS}|{POSTERIOR_BUFFERS}|clip_image_encoder{TEXT_TOWER}|{CAMERAS}")
ROUNDING = 1e-5
"""By how much the schedule and the cameras in a checkpoint may differ from ours."""

MOST_UNPACKED = 10
"""Times the size of an archive that its content may have. Weights are stored as they are, only listings of code are
packed; what unpacks to more would fill the memory."""
CURE = "Get the official file again: unocclude models download."

TRAINING_PACKAGES = ("pytorch_lightning", "omegaconf")
"""Their classes lie next to the tensors in checkpoints, for instance as keys of callback states."""


@dataclass(frozen=True)
class Source:
    """Where a parameter comes from, and what is done to the tensor there."""

    key: str
    convert: Callable[[Tensor], Tensor] = lambda tensor: tensor


class CheckpointMismatchError(ModelsMissingError):
    """A checkpoint's tensors are not the network's; `missing`, `unexpected` and `misshapen` list them."""

    def __init__(self, missing: list[str], unexpected: list[str], misshapen: list[str]) -> None:
        self.missing, self.unexpected, self.misshapen = missing, unexpected, misshapen
        lists = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
        found = "; ".join(f"{len(keys)} {what}: {_abridged(keys)}" for what, keys in lists.items() if keys)
        super().__init__(f"The checkpoint does not fit the network ({found}).", CURE)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict of a .ckpt, .pt or .safetensors file, on the CPU. Only tensors are unpickled, no code is
    run.

    Raises ModelsMissingError for missing and damaged files, and for classes that no training leaves behind.
    """
    if not path.is_file():
        raise ModelsMissingError(f"There is no checkpoint {path}.", CURE)
    if zipfile.is_zipfile(path) and _unpacked_size(path) > MOST_UNPACKED * path.stat().st_size:
        raise ModelsMissingError(f"The checkpoint {path.name} unpacks to far more than weights do.", CURE)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if is_torchscript(path):
            return read_torchscript(path)
        zipped = zipfile.is_zipfile(path)
        left = get_unsafe_globals_in_checkpoint(path) if zipped else []
        stand_ins: list[Any] = [(_Placeholder, name) for name in left if name.partition(".")[0] in TRAINING_PACKAGES]
        with torch.serialization.safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # on bytes that are no checkpoint the unpickler raises anything
        asked = re.search(r"(?:GLOBAL|asks for) ([\w.]+\w)", str(error))
        reason = (
            "it is damaged, or no checkpoint at all"
            if asked is None
            else f"it asks for {asked[1]}, and weights need no code"
        )
        raise ModelsMissingError(f"The checkpoint {path.name} cannot be read: {reason}.", CURE) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    odd = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if odd or not state:
        raise ModelsMissingError(f"The checkpoint {path.name} holds other than weights: {_abridged(odd)}.", CURE)
    return dict(state)


def _unpacked_size(path: Path) -> int:
    """Bytes of all that this archive says it holds; 0 where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        return 0


class _Placeholder:
    """Stands for any of those classes, whatever it was made from."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass


def load_pix2gestalt(module: Pix2Gestalt, state: StateDict) -> None:
    """The weights that pix2gestalt samples with: the UNet's moving average. Raises CheckpointMismatchError."""
    fixed = {"alphas_cumprod": module.schedule.alphas_cumprod}
    load(module, state, pix2gestalt_sources(module), PIX2GESTALT_UNUSED, fixed)


def load_training_start(module: Pix2Gestalt, state: StateDict) -> None:
    """The image-conditioned Stable Diffusion that pix2gestalt's authors began from: blind to picture and mask at first.

    Its UNet is for four channels and there is no projection, so that begins as the identity. Raises
    CheckpointMismatchError.
    """
    unet = unet_sources(module.unet, module.config.unet, "model.diffusion_model.")
    first, channels = unet["conv_in.weight"], module.unet.config.in_channels
    unet["conv_in.weight"] = Source(first.key, lambda kernel: widened(kernel, channels))
    sources = {**pix2gestalt_sources(module), **_prefixed("unet.", unet)}
    width = len(module.projection.bias)
    identity = {"cc_projection.weight": torch.eye(width), "cc_projection.bias": torch.zeros(width)}
    load(module, {**state, **identity}, sources, TRAINING_START_UNUSED)


def load_views_training_start(module: SyncDreamer, state: StateDict) -> None:
    """Zero123-XL, which SyncDreamer's authors began from: UNet, autoencoder, image encoder, projection.

    What ties the views together is not in it and stays as it is. Raises CheckpointMismatchError.
    """
    own = module.state_dict()
    tie = ("volumes.", "time_embedding.", "unet.middle_depth.", "unet.up_depth.")
    begun = [name for name in own if name.startswith(tie)]
    sources = syncdreamer_sources(module) | {name: Source(name) for name in begun}
    encoder = image_encoder_sources(module.image_encoder, "cond_stage_model.model.visual.")
    sources |= _prefixed("image_encoder.", encoder)
    load(module, {**state, **{name: own[name] for name in begun}}, sources, TRAINING_START_UNUSED)


def load_syncdreamer(module: SyncDreamer, state: StateDict) -> None:
    """Raises CheckpointMismatchError, also for weights that were trained with other cameras."""
    fixed = {
        "alphas_cumprod": module.schedule.alphas_cumprod,
        "poses": torch.from_numpy(target_cameras()),
        "Ks": torch.from_numpy(intrinsics()).expand(VIEW_COUNT, 3, 3),
    }
    load(module, state, syncdreamer_sources(module), SYNCDREAMER_UNUSED, fixed)


def load_clip(module: Clip, state: StateDict) -> None:
    """OpenAI's own file. Raises CheckpointMismatchError."""
    load(module, state, clip_sources(module), CLIP_UNUSED)


def load(
    module: nn.Module,
    state: StateDict,
    sources: Mapping[str, Source],
    unused: re.Pattern[str],
    fixed: Mapping[str, Tensor] | None = None,
) -> None:
    """Fills `module`, whose parameters `sources` are for, from a checkpoint that holds the constants `fixed`
    too.

    Parameters that have no memory yet, on the meta device, get the checkpoint's. Raises CheckpointMismatchError, and
    ModelsMissingError for values that are not finite; nothing is changed then.
    """
    fixed = fixed or {}
    parameters = module.state_dict()
    used = {source.key for source in sources.values()} | fixed.keys()
    missing = sorted(used - state.keys())
    unexpected = sorted(key for key in state.keys() - used if not unused.fullmatch(key))
    odd = sorted(key for key in fixed.keys() & state.keys() if not _agree(state[key], fixed[key]))
    converted = {n: s.convert(state[s.key]) for n, s in sources.items() if s.key in state and s.key not in odd}
    misshapen = odd + sorted(
        f"{sources[name].key} {tuple(state[sources[name].key].shape)}"
        for name, tensor in converted.items()
        if tensor.shape != parameters[name].shape
    )
    if missing or unexpected or misshapen:
        raise CheckpointMismatchError(missing, unexpected, misshapen)
    for name, tensor in converted.items():
        if not tensor.is_meta and not torch.isfinite(tensor).all():
            raise ModelsMissingError(f"The checkpoint's {sources[name].key} is not finite.", CURE)
    module.load_state_dict(converted, assign=any(p.is_meta for p in module.parameters()))


def pix2gestalt_sources(module: Pix2Gestalt) -> dict[str, Source]:
    """By our parameter names."""
    unet = unet_sources(module.unet, module.config.unet, "diffusion_model.")
    return {
        **_prefixed("unet.", {n: Source(f"model_ema.{s.key.replace('.', '')}") for n, s in unet.items()}),
        **_prefixed("autoencoder.", autoencoder_sources(module.autoencoder)),
        **_prefixed("image_encoder.", image_encoder_sources(module.image_encoder, "cond_stage_model.model.visual.")),
        **_projection_sources(),
    }


def syncdreamer_sources(module: SyncDreamer) -> dict[str, Source]:
    """By our parameter names."""
    levels = len(module.config.volumes.spatial_widths)
    geometry = {"view_grid": module.volumes.grid_of_views, "frustum_grid": module.volumes.grid_of_frustums}
    volumes = {
        name: Source("poses", geometry[name])
        if name in geometry
        else Source(f"spatial_volume.{volumes_name(name, levels)}")
        for name in module.volumes.state_dict()
    }
    time = {name: Source(f"time_embed.{name}") for name in module.time_embedding.state_dict()}
    image_encoder = image_encoder_sources(module.image_encoder, "clip_image_encoder.model.visual.")
    return {
        **_prefixed("unet.", depth_unet_sources(module)),
        **_prefixed("volumes.", volumes),
        **_prefixed("time_embedding.", time),
        **_prefixed("autoencoder.", autoencoder_sources(module.autoencoder)),
        **_prefixed("image_encoder.", image_encoder),
        **_projection_sources(),
    }


def depth_unet_sources(module: SyncDreamer) -> dict[str, Source]:
    prefix = "model.diffusion_model."
    depth = {"middle_depth.": f"{prefix}middle_conditions."}
    for k, place in enumerate(module.unet.up_depth):
        depth[f"up_depth.{place}."] = f"{prefix}output_conditions.{k}."
    sources = _prefixed("base.", unet_sources(module.unet.base, module.config.unet, prefix))
    for ours, theirs in depth.items():
        names = (n.removeprefix(ours) for n in module.unet.state_dict() if n.startswith(ours))
        sources |= {ours + name: Source(theirs + depth_transformer_name(name)) for name in names}
    return sources


def unet_sources(unet: nn.Module, config: UNetConfig, prefix: str) -> dict[str, Source]:
    layers, attention = config.layers_per_block, config.attention
    return {name: Source(prefix + unet_name(name, layers, attention)) for name in unet.state_dict()}


def autoencoder_sources(autoencoder: Autoencoder) -> dict[str, Source]:
    """Attention there is made of 1x1 convolutions, here of linear layers."""
    levels = len(autoencoder.config.widths)
    sources = {}
    for name in (name.removeprefix("kl.") for name in autoencoder.state_dict()):
        is_linear = ".attentions." in name and "group_norm" not in name and name.endswith("weight")
        key = "first_stage_model." + autoencoder_name(name, levels)
        sources[f"kl.{name}"] = Source(key, _drop_kernel) if is_linear else Source(key)
    return sources


def clip_sources(module: Clip) -> dict[str, Source]:
    """By our parameter names."""
    sources = _prefixed("image_encoder.", image_encoder_sources(module.image_encoder, "visual."))
    sources["logit_scale"] = Source("logit_scale")
    for name in module.text_encoder.state_dict():
        match name.removeprefix("text_model.").split("."):
            case ["embeddings", "token_embedding", "weight"]:
                source = Source("token_embedding.weight")
            case ["embeddings", "position_embedding", "weight"]:
                source = Source("positional_embedding")
            case ["final_layer_norm", kind]:
                source = Source(f"ln_final.{kind}")
            case ["text_projection", "weight"]:
                source = Source("text_projection", _transposed)
            case ["encoder", "layers", *rest]:
                source = Source(clip_layer_name(rest), _third_of(rest))
        sources[f"text_encoder.{name}"] = source
    return sources


def image_encoder_sources(image_encoder: ImageEncoder, prefix: str) -> dict[str, Source]:
    sources = {}
    for name in image_encoder.state_dict():
        short = name.removeprefix("clip.")
        key = prefix + image_encoder_name(short)
        if short == "visual_projection.weight":
            sources[name] = Source(key, _transposed)
        else:
            sources[name] = Source(key, _third_of(short.split(".")))
    return sources


def _projection_sources() -> dict[str, Source]:
    return {f"projection.{kind}": Source(f"cc_projection.{kind}") for kind in ("weight", "bias")}


def _prefixed(prefix: str, sources: Mapping[str, Source]) -> dict[str, Source]:
    return {prefix + name: source for name, source in sources.items()}


def _drop_kernel(weight: Tensor) -> Tensor:
    return weight.flatten(1) if weight.shape[2:] == (1, 1) else weight


def _transposed(weight: Tensor) -> Tensor:
    return weight.T


def _third_of(name: list[str]) -> Callable[[Tensor], Tensor]:
    """CLIP's files stack what queries, keys and values are made with."""
    parts = [part for part in ("q_proj", "k_proj", "v_proj") if part in name]
    if not parts:
        return lambda tensor: tensor
    third = "qkv".index(parts[0][0])
    return lambda stacked: stacked.tensor_split(3)[third]


def _agree(stored: Tensor, expected: Tensor) -> bool:
    """Up to rounding; of tensors on the meta device only the shape is known."""
    if stored.shape != expected.shape or stored.is_meta:
        return stored.shape == expected.shape
    return torch.allclose(stored.double(), expected.double(), rtol=0, atol=ROUNDING)


def _abridged(keys: Iterable[str], limit: int = 5) -> str:
    keys = list(keys)
    return ", ".join(keys[:limit]) + (f" and {len(keys) - limit} more" if len(keys) > limit else "")


def widened(kernel: Tensor, channels: int) -> Tensor:
    """A convolution's kernel (O, I, k, k) for more input channels, blind to the new ones.

    So does fine-tuning begin from a network without the extra channels of the condition.
    """
    wide = kernel.new_zeros(kernel.shape[0], channels, *kernel.shape[2:])
    wide[:, : kernel.shape[1]] = kernel
    return wide
