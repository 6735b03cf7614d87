"""Where each of our parameters is found in the official checkpoints: names only, no tensors.

Ours are those of diffusers and transformers; the checkpoints' are those of latent diffusion (UNet,
autoencoder), of OpenAI's CLIP, and of SyncDreamer.
"""

from __future__ import annotations

RESNET_OF_UNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ATTENTION_OF_AUTOENCODER = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
LAYER_OF_CLIP = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
DEPTH_TRANSFORMER = {
    "project_in": "proj_in",
    "project_volume": "proj_context",
    "attention": "depth_attn",
    "project_out": "proj_out",
}


def unet_name(name: str, layers: int, attention: tuple[bool, ...]) -> str:
    """`layers` per block and which levels attend, full resolution first, as in `UNetConfig`."""
    per_level = layers + 1
    match name.split("."):
        case ["time_embedding", linear, kind]:
            return f"time_embed.{'0' if linear == 'linear_1' else '2'}.{kind}"
        case ["conv_in", kind]:
            return f"input_blocks.0.0.{kind}"
        case ["conv_norm_out", kind]:
            return f"out.0.{kind}"
        case ["conv_out", kind]:
            return f"out.2.{kind}"
        case ["mid_block", "resnets", j, part, kind]:
            return f"middle_block.{2 * int(j)}.{RESNET_OF_UNET[part]}.{kind}"
        case ["mid_block", "attentions", _, *rest]:
            return f"middle_block.1.{'.'.join(rest)}"
        case ["down_blocks", i, "resnets", j, part, kind]:
            return f"input_blocks.{1 + int(i) * per_level + int(j)}.0.{RESNET_OF_UNET[part]}.{kind}"
        case ["down_blocks", i, "attentions", j, *rest]:
            return f"input_blocks.{1 + int(i) * per_level + int(j)}.1.{'.'.join(rest)}"
        case ["down_blocks", i, "downsamplers", _, "conv", kind]:
            return f"input_blocks.{(int(i) + 1) * per_level}.0.op.{kind}"
        case ["up_blocks", i, "resnets", j, part, kind]:
            return f"output_blocks.{int(i) * per_level + int(j)}.0.{RESNET_OF_UNET[part]}.{kind}"
        case ["up_blocks", i, "attentions", j, *rest]:
            return f"output_blocks.{int(i) * per_level + int(j)}.1.{'.'.join(rest)}"
        case ["up_blocks", i, "upsamplers", _, "conv", kind]:
            place = 1 + attention[-1 - int(i)]
            return f"output_blocks.{int(i) * per_level + layers}.{place}.conv.{kind}"
    raise KeyError(name)


def autoencoder_name(name: str, levels: int) -> str:
    match name.split("."):
        case [half, "mid_block", "resnets", j, part, kind]:
            return f"{half}.mid.block_{int(j) + 1}.{part}.{kind}"
        case [half, "mid_block", "attentions", _, *part, kind]:
            return f"{half}.mid.attn_1.{ATTENTION_OF_AUTOENCODER['.'.join(part)]}.{kind}"
        case [half, "down_blocks" | "up_blocks" as way, i, "resnets", j, part, kind]:
            part = "nin_shortcut" if part == "conv_shortcut" else part
            return f"{half}.{_autoencoder_level(way, int(i), levels)}.block.{j}.{part}.{kind}"
        case [half, "down_blocks" | "up_blocks" as way, i, "downsamplers" | "upsamplers" as part, _, *rest]:
            level = _autoencoder_level(way, int(i), levels)
            return f"{half}.{level}.{part.removesuffix('rs')}.{'.'.join(rest)}"
        case [half, "conv_norm_out", kind]:
            return f"{half}.norm_out.{kind}"
    return name


def _autoencoder_level(way: str, i: int, levels: int) -> str:
    return f"down.{i}" if way == "down_blocks" else f"up.{levels - 1 - i}"


def image_encoder_name(name: str) -> str:
    """Query, key and value projections share one tensor there, `in_proj`, in this order."""
    match name.split("."):
        case ["visual_projection", "weight"]:
            return "proj"
        case ["vision_model", "embeddings", "class_embedding"]:
            return "class_embedding"
        case ["vision_model", "embeddings", "patch_embedding", kind]:
            return f"conv1.{kind}"
        case ["vision_model", "embeddings", "position_embedding", _]:
            return "positional_embedding"
        case ["vision_model", "pre_layrnorm", kind]:
            return f"ln_pre.{kind}"
        case ["vision_model", "post_layernorm", kind]:
            return f"ln_post.{kind}"
        case ["vision_model", "encoder", "layers", *rest]:
            return clip_layer_name(rest)
    raise KeyError(name)


def clip_layer_name(name: list[str]) -> str:
    """Of a layer of either of CLIP's transformers: number, part, kind."""
    match name:
        case [i, "self_attn", "q_proj" | "k_proj" | "v_proj", kind]:
            return f"transformer.resblocks.{i}.attn.in_proj_{kind}"
        case [i, *part, kind]:
            return f"transformer.resblocks.{i}.{LAYER_OF_CLIP['.'.join(part)]}.{kind}"
    raise KeyError(".".join(name))


def volumes_name(name: str, levels: int) -> str:
    """`levels` of the spatial network."""
    match name.split("."):
        case ["view_encoder", "stem", kind]:
            return f"target_encoder.init_conv.{kind}"
        case ["view_encoder", "blocks", i, "time", kind]:
            return f"target_encoder.out_conv{i}.time_embed.{kind}"
        case ["view_encoder", "blocks", i, "viewpoint", kind]:
            return f"target_encoder.out_conv{i}.view_embed.{kind}"
        case ["view_encoder", "blocks", i, "convs", j, kind]:
            return f"target_encoder.out_conv{i}.conv.{j}.{kind}"
        case ["view_encoder", "out", j, kind]:
            return f"target_encoder.final_out.{j}.{kind}"
        case ["spatial_network", "stem", kind]:
            return f"spatial_volume_feats.init_conv.{kind}"
        case ["spatial_network", "top", part, kind]:
            return f"spatial_volume_feats.conv0.{_volume_part(part, up=False)}.{kind}"
        case ["spatial_network", "down", i, j, part, kind]:
            block = f"conv{2 * int(i) + 1}" if j == "0" else f"conv{2 * int(i) + 2}_{int(j) - 1}"
            return f"spatial_volume_feats.{block}.{_volume_part(part, up=False)}.{kind}"
        case ["spatial_network", "up", i, part, kind]:
            return f"spatial_volume_feats.conv{2 * levels - 1 + int(i)}.{_volume_part(part, up=True)}.{kind}"
        case ["frustum_network", "stem", kind]:
            return f"frustum_volume_feats.conv0.{kind}"
        case ["frustum_network", "down", i, j, part, kind]:
            return f"frustum_volume_feats.conv{1 + 2 * int(i) + int(j)}.{_volume_part(part, up=False)}.{kind}"
        case ["frustum_network", "up", i, part, kind]:
            return f"frustum_volume_feats.up{i}.{_volume_part(part, up=True)}.{kind}"
    raise KeyError(name)


def _volume_part(part: str, *, up: bool) -> str:
    return {"time": "t_conv", "viewpoint": "v_conv", "norm": "norm" if up else "bn", "conv": "conv"}[part]


def depth_transformer_name(name: str) -> str:
    part, _, rest = name.partition(".")
    return f"{DEPTH_TRANSFORMER[part]}.{rest}"
