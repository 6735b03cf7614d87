"""Another golden folder of the same kind, with other widths, is tested by the same code: only manifests count.

The folder is made here from one of our own networks; that its outputs are right is not the question.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from golden_files import ANYTHING, Golden, golden, pix2gestalt_config, syncdreamer_config, within
from safetensors.torch import save_file
from torch import Tensor
from unocclude.models import checkpoints
from unocclude.models.pix2gestalt import CompletionCondition, Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.syncdreamer import SyncDreamer, SyncDreamerConfig


@pytest.fixture
def other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("pix2gestalt", "syncdreamer"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("UNOCCLUDE_GOLDEN", str(tmp_path))
    return tmp_path


def wider(config: Pix2GestaltConfig) -> Pix2GestaltConfig:
    return replace(
        config,
        unet=replace(config.unet, widths=tuple(2 * w for w in config.unet.widths), context=48),
        autoencoder=replace(config.autoencoder, widths=(64, 64, 128, 128)),
        image_encoder=replace(config.image_encoder, width=192, layers=2, heads=3, embedding=48),
    )


def manifest_of(config: Pix2GestaltConfig) -> dict[str, object]:
    unet, vae, clip = config.unet, config.autoencoder, config.image_encoder
    return {
        "config": {
            "unet": {
                "model_channels": unet.widths[0],
                "channel_mult": [width // unet.widths[0] for width in unet.widths],
                "num_res_blocks": unet.layers_per_block,
                "num_heads": unet.heads,
                "attention_resolutions": [2**i for i, attends in enumerate(unet.attention) if attends],
                "context_dim": unet.context,
            },
            "vae_ddconfig": {
                "in_channels": vae.channels,
                "ch": vae.widths[0],
                "ch_mult": [width // vae.widths[0] for width in vae.widths],
                "num_res_blocks": vae.layers_per_block,
            },
            "scale_factor": 1 / vae.latent_std[0],
            "clip": {
                "image_resolution": clip.size,
                "vision_patch_size": clip.patch,
                "vision_width": clip.width,
                "vision_layers": clip.layers,
                "vision_heads": clip.heads,
                "embed_dim": clip.embedding,
            },
        }
    }


def official_unet(module: Pix2Gestalt) -> dict[str, Tensor]:
    """The moving average under its official names, as halves."""
    sources = checkpoints.pix2gestalt_sources(module)
    state = module.state_dict()
    return {s.key: state[name].half() for name, s in sources.items() if name.startswith("unet.")}


@torch.inference_mode()
def test_pix2gestalt_of_other_widths(other_folder: Path, pix2gestalt_golden: Golden) -> None:
    usual = pix2gestalt_config(pix2gestalt_golden)
    config = wider(usual)
    torch.manual_seed(0)
    module = Pix2Gestalt(config).eval()
    module.unet.load_state_dict({name: t.half().float() for name, t in module.unet.state_dict().items()})
    x, context = torch.randn(1, 12, 16, 16), torch.randn(1, 1, 48)
    condition = CompletionCondition(x[:, 4:], context)
    made = module.denoise(x[:, :4], torch.tensor([500]), condition)
    (other_folder / "pix2gestalt" / "manifest.json").write_text(json.dumps(manifest_of(config)))
    save_file(official_unet(module), other_folder / "pix2gestalt" / "checkpoint.safetensors")

    found = golden("pix2gestalt")
    assert found.folder == other_folder / "pix2gestalt"
    read = pix2gestalt_config(found)
    assert read == config != usual
    again = Pix2Gestalt(read).eval()
    prefix = {name: s for name, s in checkpoints.pix2gestalt_sources(again).items() if name.startswith("unet.")}
    sources = {name.removeprefix("unet."): source for name, source in prefix.items()}
    checkpoints.load(again.unet, found.tensors("checkpoint"), sources, ANYTHING)
    assert within(again.denoise(x[:, :4], torch.tensor([500]), condition), made, 1e-6)


def test_syncdreamer_of_other_widths(
    other_folder: Path, syncdreamer_golden: Golden, syncdreamer_state: dict[str, Tensor]
) -> None:
    usual = syncdreamer_config(syncdreamer_golden, syncdreamer_state)
    config = replace(
        usual,
        unet=replace(usual.unet, widths=(64, 64, 128, 128), context=640),
        volumes=replace(
            usual.volumes, view_width=24, time_width=128, spatial_widths=(16,) * 4, frustum_widths=(16,) * 4
        ),
        autoencoder=replace(usual.autoencoder, widths=(64,) * 4),
        image_encoder=replace(usual.image_encoder, width=64, layers=3, heads=1, embedding=320),
    )
    folder = other_folder / "syncdreamer"
    values = {"mc": 64, "mult": [1, 1, 2, 2], "heads": 8, "vdims": [16] * 4, "vae_mult": [1] * 4}
    values |= {"clip_w": 64, "clip_l": 3}
    (folder / "manifest_diffusion.json").write_text(json.dumps({"config": values}))
    state = shapes_of(config)
    for name, start in (("vae_tiny", "first_stage_model."), ("clip_tiny", "clip_image_encoder.")):
        save_file({key: t for key, t in state.items() if key.startswith(start)}, folder / f"{name}.safetensors")
    assert syncdreamer_config(golden("syncdreamer"), state) == config != usual


def shapes_of(config: SyncDreamerConfig) -> dict[str, Tensor]:
    """Zeros under the official names; where several parameters share a tensor, of the first one's shape."""
    with torch.device("meta"):
        module = SyncDreamer(config)
    ours = module.state_dict()
    return {s.key: torch.zeros(ours[name].shape) for name, s in checkpoints.syncdreamer_sources(module).items()}


def test_without_the_folder_the_tests_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNOCCLUDE_GOLDEN", str(tmp_path / "nowhere"))
    with pytest.raises(pytest.skip.Exception, match="UNOCCLUDE_GOLDEN"):
        golden("pix2gestalt")
