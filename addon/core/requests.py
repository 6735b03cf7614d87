"""What a run without a window is asked to do: from the command line or from a manifest."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..wire.errors import InputError
from ..wire.protocol import PRESETS, JobSpec


@dataclass(frozen=True)
class Request:
    """One picture to reconstruct from. `name` names its folder and its .blend file.

    `mask` is a picture of the visible part, where that is known; it replaces the segmentation.
    """

    name: str
    image: Path
    spec: JobSpec
    mask: Path | None = None

    def digest(self) -> str:
        """Differs wherever the result may. Raises OSError where the picture or the mask cannot be read."""
        files = [self.image.read_bytes(), b"" if self.mask is None else self.mask.read_bytes()]
        told = [self.name, self.spec.to_json(), *(hashlib.sha256(content).hexdigest() for content in files)]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Run:
    """All pictures, the folder for the results, the backend's Python where one is chosen, and whether a run before
    is to be finished."""

    requests: list[Request]
    out: Path
    backend: str
    resume: bool


def parse(arguments: Sequence[str]) -> Run:
    """Raises InputError where the manifest or an option is not as it should be, SystemExit for wrong usage."""
    given = _parser().parse_args(arguments)
    if (given.manifest is None) == (given.image is None):
        raise InputError("There is nothing to do.", "Give --image PICTURE --point X Y, or a manifest.")
    if given.manifest is not None:
        requests = read_manifest(given.manifest)
    else:
        prompt = {"points": given.point, "negatives": given.negative, "box": given.box}
        options = {name: getattr(given, name) for name in (*_OPTIONS, "mask") if getattr(given, name) is not None}
        requests = [_request({"image": str(given.image), **prompt, **options}, Path())]
    return Run(requests, given.out, given.backend, given.resume)


def read_manifest(path: Path) -> list[Request]:
    """Each line is a JSON object: `image` (relative to the manifest), `point` or `points`, and as far as wanted
    `negatives`, `box`, `mask`, `name` and the other fields of JobSpec. Raises InputError, which names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The manifest {path} cannot be read ({error}).", "Give a JSON Lines file.") from None
    requests: list[Request] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            requests.append(_request(json.loads(line), path.parent))
        except (InputError, ValueError, TypeError, KeyError, AttributeError) as error:
            reason = error.message if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            raise InputError(
                f"Line {number} of {path} is not a request ({reason})",
                'Write it like {"image": "cup.png", "point": [120, 80]}.',
            ) from None
    if not requests:
        raise InputError(f"The manifest {path} is empty.", "Write one JSON object per line.")
    return _with_distinct_names(requests)


_OPTIONS = ("seed", "samples", "preset", "profile", "elevation", "device")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="blender -b --python headless.py --",
        description="Reconstruct occluded objects from pictures into .blend files. X and Y are pixels from the "
        "picture's top left corner.",
    )
    parser.add_argument("manifest", nargs="?", type=Path, help="JSON Lines file with one picture per line")
    parser.add_argument("--image", type=Path, help="the picture")
    parser.add_argument("--point", nargs=2, type=float, action="append", default=[], metavar=("X", "Y"))
    parser.add_argument("--negative", nargs=2, type=float, action="append", default=[], metavar=("X", "Y"))
    parser.add_argument("--box", nargs=4, type=float, metavar=("X0", "Y0", "X1", "Y1"))
    parser.add_argument("--mask", help="picture of the visible part, white on black, instead of points")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--preset", choices=PRESETS)
    parser.add_argument("--profile")
    parser.add_argument("--elevation", type=float, help="degrees; estimated where left out")
    parser.add_argument("--device")
    parser.add_argument("--backend", default="", help="the backend's Python, or its virtual environment")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--resume", action="store_true", help="leave out what a run before into that folder has done")
    return parser


def _request(values: dict[str, Any], folder: Path) -> Request:
    image = folder / values.pop("image")
    name = str(values.pop("name", image.stem))
    if name in {"", ".", ".."} or Path(name).name != name:
        raise InputError(f"{name!r} cannot be a folder's name.", "Give another name.")
    mask = folder / values.pop("mask") if "mask" in values else None
    if "point" in values:
        values["points"] = [*values.get("points", []), values.pop("point")]
    prompt = {field: values.pop(field) for field in ("points", "negatives", "box") if field in values}
    return Request(name, image, JobSpec.from_json({**values, "prompt": prompt}), mask)


def _with_distinct_names(requests: list[Request]) -> list[Request]:
    """cup, cup-2, cup-3 where several have the same name."""
    taken: set[str] = set()
    distinct = []
    for request in requests:
        name, number = request.name, 1
        while name in taken:
            number += 1
            name = f"{request.name}-{number}"
        taken.add(name)
        distinct.append(replace(request, name=name))
    return distinct
