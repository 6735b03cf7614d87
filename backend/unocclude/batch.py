"""Many images, one after the other, in this process. What fails is told at the end; the rest is done all the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unocclude.errors import Cancelled, InputError, UnoccludeError
from unocclude.models.profiles import Models
from unocclude.pipeline import inputs
from unocclude.pipeline.reconstruct import reconstruct
from unocclude.progress_bars import ProgressBars
from unocclude.protocol import JobSpec, Prompt


@dataclass(frozen=True)
class Item:
    """`name` is its folder under the output."""

    name: str
    image: Path
    prompt: Prompt
    mask: Path | None


def run_batch(source: Path, out: Path, spec: Callable[[Prompt], JobSpec], models: Models, resume: bool) -> None:
    """`source`: a manifest with lines like {"image": "a.png", "point": [10, 20]} (also "points", "negatives", "box",
    "mask", "name"; paths relative to the manifest), or a folder of images with such a line in a .json beside each.

    Raises InputError where nothing can be done, UnoccludeError at the end if some items failed.
    """
    items = list(_folder(source) if source.is_dir() else _manifest(source))
    failed = 0
    for number, item in enumerate(items, 1):
        folder = out / item.name
        if resume and (folder / "report.json").exists():
            print(f"[{number}/{len(items)}] {item.name}: done before")
            continue
        print(f"[{number}/{len(items)}] {item.name}", flush=True)
        try:
            mask = inputs.read_mask(item.mask) if item.mask else None
            with ProgressBars() as bars:
                reconstruct(inputs.read_image(item.image), spec(item.prompt), folder, models, mask, bars)
        except Cancelled:
            raise
        except UnoccludeError as error:
            failed += 1
            print(f"unocclude: {item.name}: {error}", file=sys.stderr)
    if failed:
        raise UnoccludeError(f"{failed} of {len(items)} images failed.", "Mend them and run again with --resume.")


def _manifest(path: Path) -> Iterator[Item]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"The manifest {path} cannot be read ({error.strerror}).", "Check the path.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _item(json.loads(line), path.parent)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"Line {number} of {path} is not understood ({error!r}).",
                    'Write one JSON object a line, such as {"image": "a.png", "point": [10, 20]}.',
                ) from error


def _folder(folder: Path) -> Iterator[Item]:
    described = sorted(p for p in folder.glob("*.json"))
    if not described:
        raise InputError(
            f"{folder} has no .json files that say what to reconstruct.",
            'Put {"image": "a.png", "point": [10, 20]} beside each image, or give a manifest.',
        )
    for path in described:
        yield _item(json.loads(path.read_text(encoding="utf-8")), folder)


def _item(values: dict, base: Path) -> Item:
    image = base / values["image"]
    points = values.get("points", [values["point"]] if "point" in values else [])
    prompt = JobSpec.from_json(
        {"prompt": {"points": points, "negatives": values.get("negatives", []), "box": values.get("box")}}
    ).prompt
    return Item(values.get("name", image.stem), image, prompt, base / values["mask"] if "mask" in values else None)
