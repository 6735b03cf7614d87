"""Many images: read what is asked, have an engine do it, tell what failed. The rest is done all the same."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unocclude.errors import Cancelled, InputError, UnoccludeError
from unocclude.models.profiles import Models
from unocclude.pipeline import inputs
from unocclude.pipeline.reconstruct import reconstruct
from unocclude.pipeline.types import Progress
from unocclude.progress_bars import ProgressBars
from unocclude.protocol import JobSpec, Prompt


@dataclass(frozen=True)
class Item:
    """`name` is its folder under the output."""

    name: str
    image: Path
    prompt: Prompt
    mask: Path | None


@dataclass(frozen=True)
class Work:
    """One item, how to do it, and the folders of its results and of the stages' results."""

    item: Item
    spec: JobSpec
    folder: Path
    kept: Path

    @property
    def done(self) -> bool:
        """The report is written last, whole or not at all."""
        return (self.folder / "report.json").exists()


Outcome = tuple[Work, UnoccludeError | None]
Engine = Callable[[Sequence[Work]], Iterator[Outcome]]
"""Does all of the work, in any order, and tells of each how it ended."""


def run_batch(source: Path, out: Path, spec: Callable[[Prompt], JobSpec], engine: Engine, resume: bool) -> None:
    """`source`: a manifest with lines like {"image": "a.png", "point": [10, 20]} (also "points", "negatives", "box",
    "mask", "name"; paths relative to the manifest), or a folder of images with such a line in a .json beside each.

    With `resume`, what is finished is left alone, and what was interrupted goes on after its last finished stage.
    Raises InputError where nothing can be done, UnoccludeError at the end if some items failed.
    """
    items = list(_folder(source) if source.is_dir() else _manifest(source))
    kept = out / ".stages"
    if not resume:
        shutil.rmtree(kept, ignore_errors=True)
    all_work = [Work(item, spec(item.prompt), out / item.name, kept) for item in items]
    waiting = [work for work in all_work if not (resume and work.done)]
    if len(waiting) < len(items):
        print(f"{len(items) - len(waiting)} of {len(items)} done before")
    failed = 0
    for number, (work, error) in enumerate(engine(waiting), 1):
        print(f"[{number}/{len(waiting)}] {work.item.name}{'' if error is None else ' failed'}", flush=True)
        if error is not None:
            failed += 1
            print(f"unocclude: {work.item.name}: {error}", file=sys.stderr)
    if failed:
        raise UnoccludeError(f"{failed} of {len(items)} images failed.", "Mend them and run again with --resume.")
    shutil.rmtree(kept, ignore_errors=True)


def in_this_process(models: Models) -> Engine:
    """One after the other."""

    def engine(all_work: Sequence[Work]) -> Iterator[Outcome]:
        for work in all_work:
            with ProgressBars() as bars:
                error = do(work, models, bars)
            yield work, error

    return engine


def do(work: Work, models: Models, progress: Progress) -> UnoccludeError | None:
    """Reconstruct one item; why that failed, if it did. `Cancelled` passes through."""
    try:
        mask = inputs.read_mask(work.item.mask) if work.item.mask else None
        reconstruct(inputs.read_image(work.item.image), work.spec, work.folder, models, mask, progress, work.kept)
    except Cancelled:
        raise
    except UnoccludeError as error:
        return error
    return None


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
