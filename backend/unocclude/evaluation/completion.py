"""How well hidden parts are imagined where the whole object is known: from the true visible mask and from one click."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PilImage
from tqdm import tqdm

from unocclude.errors import InputError
from unocclude.evaluation.scenes import imagined, iou, on_white, scenes_in, truth_of
from unocclude.models.profiles import Models
from unocclude.pipeline.complete import amodal_mask
from unocclude.pipeline.crop import cut, uncut
from unocclude.pipeline.inputs import read_image, read_mask
from unocclude.pipeline.segment import Segmenter
from unocclude.pipeline.types import Completion, Crop, Image, Mask
from unocclude.protocol import Prompt


@dataclass(frozen=True)
class Row:
    """One scene. IoU against the true amodal mask, except `click_iou` (against the true visible mask).

    `hidden_psnr`: the completions' mean colour over white against the true whole object, in the bounding box of the
    hidden region, dB.
    """

    scene: str
    visible_alone: float
    amodal_from_mask: float
    best_sample: float
    hidden_psnr: float
    click_iou: float
    amodal_from_click: float


def evaluate(data: Path, out: Path | None) -> dict[str, float]:
    """Prints a table over every scene below `data`/objects and returns the means.

    `data` holds objects/NAME/{amodal_mask.png, whole.png} and objects/NAME/SCENE/{scene.png, visible_mask.png,
    point.json}. With `out`: completion.json and completion.png there. Raises InputError where there are no scenes.
    """
    scenes = scenes_in(data)
    models = Models("bundled", torch.device("cpu"))
    rows, pictures = [], []
    for folder in tqdm(scenes, unit="scene"):
        row, picture = _scene(folder, models)
        rows.append(row)
        pictures.append(picture)
    names = [name for name in asdict(rows[0]) if name != "scene"]
    print(" " * 34 + " ".join(f"{name:>17}" for name in names))
    for row in rows:
        print(f"{row.scene:<34}" + " ".join(f"{getattr(row, name):17.3f}" for name in names))
    means = {name: float(np.nanmean([getattr(row, name) for row in rows])) for name in names}
    print(f"{'mean':<34}" + " ".join(f"{means[name]:17.3f}" for name in names))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "completion.json").write_text(json.dumps({"mean": means, "rows": [asdict(r) for r in rows]}, indent=2))
        PilImage.fromarray(np.concatenate(pictures)).save(out / "completion.png")
    return means


def _scene(folder: Path, models: Models) -> tuple[Row, Image]:
    image, visible = read_image(folder / "scene.png"), read_mask(folder / "visible_mask.png")
    truth = truth_of(folder)
    click = json.loads((folder / "point.json").read_text())
    completions, crop = imagined(image, visible, models)
    amodal = amodal_mask(completions, visible, crop)
    try:
        clicked = (
            Segmenter(models.segmenter(), models.device).embed(image).mask(Prompt(points=((click["x"], click["y"]),)))
        )
        from_click = iou(amodal_mask(*_with_mask(image, clicked, models)), truth)
        click_iou = iou(clicked, visible)
    except InputError:  # the click found nothing
        clicked, from_click, click_iou = np.zeros_like(visible), 0.0, 0.0
    moved = (folder / "amodal_mask.png").exists()  # then the object is not where it is in whole.png
    whole = None if moved else np.asarray(PilImage.open(folder.parent / "whole.png"))
    row = Row(
        f"{folder.parent.name}/{folder.name}",
        iou(visible, truth),
        iou(amodal, truth),
        max(iou(amodal_mask([c], visible, crop), truth) for c in completions),
        float("nan") if whole is None else _hidden_psnr(completions, crop, whole, truth & ~visible),
        click_iou,
        from_click,
    )
    return row, _strip(image, visible, amodal, truth, clicked, completions)


def _with_mask(image: Image, visible: Mask, models: Models) -> tuple[list[Completion], Mask, Crop]:
    completions, crop = imagined(image, visible, models)
    return completions, visible, crop


def _hidden_psnr(completions: list[Completion], crop: Crop, whole: Image, hidden: Mask) -> float:
    rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    wanted = on_white(whole)[box]
    made = np.mean([on_white(uncut(c.rgba, crop, hidden.shape))[box] for c in completions], axis=0)
    return float(-10 * np.log10(max(((made - wanted) ** 2).mean(), 1e-10)))


def _strip(
    image: Image,
    visible: Mask,
    amodal: Mask,
    truth: Mask,
    clicked: Mask,
    completions: list[Completion],
    size: int = 128,
) -> Image:
    """Scene, clicked mask, amodal mask (green right, red missed, blue too much), completions."""
    compared = np.stack([truth & ~amodal, truth & amodal, amodal & ~truth], -1)
    tiles = [image, _grey(visible), _grey(clicked), 255 * compared.astype(np.uint8)]
    tiles += [np.round(255 * on_white(c.rgba)).astype(np.uint8) for c in completions]
    square = Crop(0, 0, max(image.shape[:2]), size)
    return np.concatenate([cut(tile, Crop(0, 0, max(tile.shape[:2]), square.size)) for tile in tiles], axis=1)


def _grey(mask: Mask) -> Image:
    return np.repeat(255 * mask[..., None].astype(np.uint8), 3, -1)
