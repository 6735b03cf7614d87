"""Which weights exist: those that ship with the package, and the official ones, with their origin and licence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unocclude.errors import ModelsMissingError

BUNDLED = Path(__file__).parent.parent / "bundled"
BUNDLED_FILES = ("segmenter.safetensors", "completion.safetensors", "views.safetensors", "elevation.safetensors")


@dataclass(frozen=True)
class OfficialFile:
    """`purpose` is the stage that needs it."""

    name: str
    purpose: str
    origin: str
    licence: str


OFFICIAL = (
    OfficialFile(
        "sam_vit_h_4b8939.pth",
        "segment",
        "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth",
        "Apache-2.0",
    ),
    OfficialFile(
        "epoch=000005.ckpt",
        "complete",
        "https://huggingface.co/cvlab/pix2gestalt-weights",
        "CC BY-NC 4.0: not for commercial use",
    ),
    OfficialFile(
        "syncdreamer-pretrain.ckpt",
        "views",
        "https://github.com/liuyuan-pal/SyncDreamer (its README links the file)",
        "MIT code; weights by the authors",
    ),
)


def official_path(purpose: str, folder: Path | None) -> Path:
    """The official file of a stage. Raises ModelsMissingError that says which file, from where, which licence."""
    file = next(f for f in OFFICIAL if f.purpose == purpose)
    path = (folder or Path()) / file.name
    if folder is None or not path.is_file():
        raise ModelsMissingError(
            f"The official profile needs {file.name} for the stage “{purpose}”"
            + (f", which is not in {folder}." if folder else "."),
            f"Get it from {file.origin} (licence: {file.licence}), put it into a folder and name that with --weights;"
            " or use --profile bundled.",
        )
    return path


def listing() -> str:
    """For people: every weight file, its profile, and where it comes from."""
    rows = [("bundled", name, "in this package") for name in BUNDLED_FILES]
    rows += [("official", f.name, f.origin) for f in OFFICIAL]
    return "\n".join(f"{profile:<9} {name:<28} {origin}" for profile, name, origin in rows)


def licences() -> str:
    """For people: under which terms each weight file may be used."""
    rows = [(name, "GPL-3.0-or-later, as the package") for name in BUNDLED_FILES]
    rows += [(f.name, f.licence) for f in OFFICIAL]
    return "\n".join(f"{name:<28} {licence}" for name, licence in rows)
