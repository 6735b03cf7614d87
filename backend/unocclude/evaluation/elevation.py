"""How well the camera's elevation is told, where it is known: from the true whole object and from completions of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PilImage
from tqdm import tqdm

from unocclude.errors import InputError
from unocclude.evaluation.scenes import imagined
from unocclude.models.elevation import estimate_elevation
from unocclude.models.profiles import Models
from unocclude.pipeline.complete import amodal_mask, most_agreed
from unocclude.pipeline.inputs import read_image, read_mask


@dataclass(frozen=True)
class Row:
    """Degrees. `completed`: an estimate per occluded scene of it, as a job with `--elevation auto` makes it."""

    name: str
    true: float
    whole: float
    completed: tuple[float, ...]


def evaluate(data: Path, out: Path | None) -> dict[str, float]:
    """Prints a row per object below `data`/objects and returns mean and median absolute errors, in degrees.

    `data` holds objects/NAME/{meta.json (camera.elevation_deg), whole.png} and objects/NAME/SCENE/{scene.png,
    visible_mask.png}. With `out`: elevation.json there. Raises InputError where there are no objects.
    """
    folders = sorted(path.parent for path in (data / "objects").glob("*/meta.json"))
    if not folders:
        raise InputError(f"{data} has no objects/NAME/meta.json.", "Name the folder that holds objects/.")
    models = Models("bundled", torch.device("cpu"))
    rows = [_row(folder, models) for folder in tqdm(folders, unit="object")]
    print(f"{'object':<24}{'true':>7}{'whole':>7}  completed")
    for row in rows:
        print(f"{row.name:<24}{row.true:7.1f}{row.whole:7.1f}  {' '.join(f'{e:.1f}' for e in row.completed)}")
    figures = _figures(rows)
    for name, value in figures.items():
        print(f"{name:<24}{value:7.2f}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        table = {"degrees": figures, "rows": [asdict(row) for row in rows]}
        (out / "elevation.json").write_text(json.dumps(table, indent=2))
    return figures


def _row(folder: Path, models: Models) -> Row:
    camera = json.loads((folder / "meta.json").read_text())["camera"]
    whole = np.asarray(PilImage.open(folder / "whole.png"))
    scenes = sorted(path.parent for path in folder.glob("*/scene.png"))
    return Row(
        folder.name,
        float(camera["elevation_deg"]),
        estimate_elevation(models.elevation(), whole),
        tuple(_from_scene(scene, models) for scene in scenes),
    )


def _from_scene(folder: Path, models: Models) -> float:
    image, visible = read_image(folder / "scene.png"), read_mask(folder / "visible_mask.png")
    completions, crop = imagined(image, visible, models)
    chosen = most_agreed(completions, amodal_mask(completions, visible, crop), crop)
    return estimate_elevation(models.elevation(), completions[chosen].rgba)


def _figures(rows: list[Row]) -> dict[str, float]:
    """A constant guess, the best there is for these very objects, says what the estimates are worth."""
    true = np.array([row.true for row in rows])
    whole = np.abs([row.whole - row.true for row in rows])
    completed = np.abs([e - row.true for row in rows for e in row.completed])
    return {
        "whole mean": float(whole.mean()),
        "whole median": float(np.median(whole)),
        "completed mean": float(completed.mean()) if len(completed) else float("nan"),
        "completed median": float(np.median(completed)) if len(completed) else float("nan"),
        "constant guess mean": float(np.abs(true - np.median(true)).mean()),
    }
