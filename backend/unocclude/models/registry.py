"""Which weights exist: those that ship with the package, and the official ones with origin, licence and checksum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unocclude.errors import InputError

BUNDLED = Path(__file__).parent.parent / "bundled"
BUNDLED_FILES = tuple(f"{name}.safetensors" for name in ("classifier", "segmenter", "completion", "views", "elevation"))


@dataclass(frozen=True)
class Licence:
    """`terms` say in one line what it asks of users."""

    name: str
    terms: str
    url: str


CC_BY_NC = Licence(
    "CC BY-NC 4.0",
    "Name the authors; not for commercial use.",
    "https://creativecommons.org/licenses/by-nc/4.0/legalcode",
)
APACHE = Licence("Apache-2.0", "Free use; keep the notices.", "https://www.apache.org/licenses/LICENSE-2.0")
MIT = Licence("MIT", "Free use; keep the notices.", "https://opensource.org/license/mit")
OPENRAIL = Licence(
    "CreativeML OpenRAIL-M",
    "Free use except for the harmful uses that it lists; passed on with the weights.",
    "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
)


@dataclass(frozen=True)
class OfficialFile:
    """`use`: the stage that needs it, `recognise` and its `vocabulary`, or `train`.

    `urls`: in order of preference, none where the authors offer no direct link; `page` says then how to get it. `size`
    in bytes and `sha256`: as published, else None.
    """

    name: str
    use: str
    licence: Licence
    page: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None


SAM_PAGE = "https://github.com/facebookresearch/segment-anything#model-checkpoints"
SAM_FILES = "https://dl.fbaipublicfiles.com/segment_anything/"
PIX2GESTALT_PAGE = "https://github.com/cvlab-columbia/pix2gestalt"
PIX2GESTALT_FILES = (
    "https://huggingface.co/cvlab/pix2gestalt-weights/resolve/main/",
    "https://gestalt.cs.columbia.edu/assets/",
)
CLIP_PAGE = "https://github.com/openai/CLIP"
CLIP_SHA256 = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"

OFFICIAL = (
    OfficialFile(
        "sam_vit_h_4b8939.pth",
        "segment",
        APACHE,
        SAM_PAGE,
        (SAM_FILES + "sam_vit_h_4b8939.pth",),
        2564550879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    OfficialFile(
        "sam_vit_l_0b3195.pth",
        "segment",
        APACHE,
        SAM_PAGE,
        (SAM_FILES + "sam_vit_l_0b3195.pth",),
        1249524607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    OfficialFile(
        "sam_vit_b_01ec64.pth",
        "segment",
        APACHE,
        SAM_PAGE,
        (SAM_FILES + "sam_vit_b_01ec64.pth",),
        375042383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    OfficialFile(
        "epoch=000005.ckpt",
        "complete",
        CC_BY_NC,
        PIX2GESTALT_PAGE,
        tuple(base + "epoch=000005.ckpt" for base in PIX2GESTALT_FILES),
    ),
    OfficialFile(
        "epoch=000010.ckpt",
        "complete",
        CC_BY_NC,
        PIX2GESTALT_PAGE,
        tuple(base + "epoch=000010.ckpt" for base in PIX2GESTALT_FILES),
    ),
    OfficialFile(
        "syncdreamer-pretrain.ckpt",
        "views",
        MIT,
        "https://github.com/liuyuan-pal/SyncDreamer (its README links the file)",
    ),
    OfficialFile(
        "ViT-L-14.pt",
        "recognise",
        MIT,
        CLIP_PAGE,
        (f"https://openaipublic.azureedge.net/clip/models/{CLIP_SHA256}/ViT-L-14.pt",),
        932768134,
        CLIP_SHA256,
    ),
    OfficialFile(
        "bpe_simple_vocab_16e6.txt.gz",
        "vocabulary",
        MIT,
        CLIP_PAGE,
        ("https://raw.githubusercontent.com/openai/CLIP/main/clip/bpe_simple_vocab_16e6.txt.gz",),
        1356917,
        "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
    ),
    OfficialFile(
        "sd-image-conditioned-v2.ckpt",
        "train",
        OPENRAIL,
        "https://github.com/cvlab-columbia/zero123",
        ("https://cv.cs.columbia.edu/zero123/assets/sd-image-conditioned-v2.ckpt",),
    ),
    OfficialFile(
        "zero123-xl.ckpt",
        "train",
        OPENRAIL,
        "https://github.com/cvlab-columbia/zero123",
        ("https://zero123.cs.columbia.edu/assets/zero123-xl.ckpt",),
    ),
)
"""Where several files serve one stage, the first is the one to get; any of them does."""

NEEDED = tuple(next(f for f in OFFICIAL if f.use == stage) for stage in ("segment", "complete", "views"))
"""What the official profile cannot do without."""


def official_file(name: str) -> OfficialFile:
    """Raises InputError for a name that is not in the registry."""
    for file in OFFICIAL:
        if file.name == name:
            return file
    raise InputError(f"There are no weights named {name}.", f"Choose from: {', '.join(f.name for f in OFFICIAL)}.")
