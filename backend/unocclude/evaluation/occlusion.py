"""Whether imagining the hidden part first pays: views and meshes with and without it, the paper's comparison in small.

Four ways to the object of each scene: the foreground `scene` found without any hint, the `visible` part alone, and the
whole chain from one `click` and from the true visible `mask`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PilImage
from skimage.metrics import structural_similarity
from tqdm import tqdm

from unocclude.cameras import VIEW_COUNT, VIEW_SIZE, intrinsics, target_cameras
from unocclude.errors import InputError
from unocclude.evaluation.geometry import chamfer_distance, inside_voxels, seen_points, volume_iou
from unocclude.evaluation.scenes import imagined, iou, on_white, scenes_in, truth_of
from unocclude.evaluation.surface import Case, object_case
from unocclude.models.elevation import estimate_elevation
from unocclude.models.profiles import Models
from unocclude.pipeline.complete import amodal_mask, most_agreed
from unocclude.pipeline.crop import crop_around, cut, cut_mask
from unocclude.pipeline.front import front_view
from unocclude.pipeline.inputs import read_image, read_mask
from unocclude.pipeline.rasterise import render
from unocclude.pipeline.segment import Segmenter
from unocclude.pipeline.surface import fit_surface
from unocclude.pipeline.texture import texture_surface
from unocclude.pipeline.types import Completion, Image, Mask, ViewSet
from unocclude.pipeline.views import generate_views
from unocclude.protocol import Prompt

BEST_OF = 3
MARGIN = 0.05
"""Of the picture, outside the box that asks for its foreground."""
SHOWN_SIZE = 128
BLANK: Image = np.full((1, 1, 3), 255, np.uint8)


@dataclass(frozen=True)
class Rebuilt:
    """The 16 views against the true ones on white (PSNR in dB, SSIM), and the mesh (Chamfer, IoU; NaN if the truth is
    open). The mask (IoU with the true amodal one) is that of what went into the views."""

    mask_iou: float
    psnr: float
    ssim: float
    chamfer: float
    iou: float


@dataclass(frozen=True)
class Row:
    """One scene: masks against the truth, and what each of the four ways gave; None where a way found no object."""

    scene: str
    visible_alone: float
    best_of_3: float
    click_iou: float
    ways: dict[str, Rebuilt | None]


def evaluate(data: Path, out: Path | None) -> dict[str, dict[str, float]]:
    """Prints means over every scene below `data`/objects, as for the other suites, and returns them by way.

    Needs objects/NAME/{mesh.glb, targets.png, meta.json} besides the scenes. With `out`: occlusion.json and
    occlusion.png there. Raises InputError where there are no scenes.
    """
    scenes = scenes_in(data)
    models = Models("bundled", torch.device("cpu"))
    rows, strips = [], []
    for folder in tqdm(scenes, unit="scene"):
        row, strip = _scene(folder, models)
        rows.append(row)
        strips.append(strip)
    table = _means(rows)
    print(_as_text(table, rows))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        values = {"mean": table, "rows": [asdict(row) for row in rows]}
        (out / "occlusion.json").write_text(json.dumps(values, indent=2))
        PilImage.fromarray(np.concatenate(strips)).save(out / "occlusion.png")
    return table


def _scene(folder: Path, models: Models) -> tuple[Row, Image]:
    """One row of the table, and a strip of pictures: the scene, then what each way imagined, its mesh at 0 and 90."""
    image, visible, truth = read_image(folder / "scene.png"), read_mask(folder / "visible_mask.png"), truth_of(folder)
    click = json.loads((folder / "point.json").read_text())
    case = object_case(folder.parent)
    segmenter = Segmenter(models.segmenter(), models.device).embed(image)
    height, width = image.shape[:2]
    frame = (MARGIN * width, MARGIN * height, (1 - MARGIN) * width, (1 - MARGIN) * height)
    clicked = _found(lambda: segmenter.mask(Prompt(points=((click["x"], click["y"]),))))
    foreground = _found(lambda: segmenter.mask(Prompt(box=frame)))
    samples, crop = imagined(image, visible, models)
    inputs = {
        "scene": None if foreground is None else (_cut_out(image, foreground), foreground),
        "visible": (_cut_out(image, visible), visible),
        "click": None if clicked is None else _completed(image, clicked, models),
        "mask": _completed(image, visible, models),
    }
    ways: dict[str, Rebuilt | None] = {}
    tiles = [image]
    for way, given in inputs.items():
        ways[way], shown = (None, [BLANK] * 3) if given is None else _rebuilt(*given, truth, case, models)
        tiles += shown
    row = Row(
        f"{folder.parent.name}/{folder.name}",
        iou(visible, truth),
        max(iou(amodal_mask([sample], visible, crop), truth) for sample in samples[:BEST_OF]),
        0.0 if clicked is None else iou(clicked, visible),
        ways,
    )
    return row, np.concatenate([_square(tile) for tile in tiles], axis=1)


def _found(segment: Callable[[], Mask]) -> Mask | None:
    try:
        return segment()
    except InputError:
        return None


def _cut_out(image: Image, mask: Mask) -> Completion:
    """What is seen, taken for the whole."""
    crop = crop_around(mask)
    alpha = 255 * cut_mask(mask, crop).astype(np.uint8)
    return Completion(np.concatenate([cut(image, crop), alpha[..., None]], axis=-1))


def _completed(image: Image, visible: Mask, models: Models) -> tuple[Completion, Mask]:
    samples, crop = imagined(image, visible, models)
    amodal = amodal_mask(samples, visible, crop)
    return samples[most_agreed(samples, amodal, crop)], amodal


def _rebuilt(whole: Completion, mask: Mask, truth: Mask, case: Case, models: Models) -> tuple[Rebuilt, list[Image]]:
    profile = models.profile
    elevation = estimate_elevation(models.elevation(), whole.rgba)
    views = generate_views(
        whole,
        elevation,
        models.views(),
        steps=profile.steps("views", "fast"),
        guidance=profile.view_guidance,
        seed=0,
    )
    surface = fit_surface(views, "fast", 0)
    mesh = texture_surface(surface, views, front_view(surface, whole, elevation))
    psnr, ssim = _compared(views, case.views)
    there = np.asarray(case.truth.vertices), np.asarray(case.truth.faces)
    chamfer = chamfer_distance(seen_points(surface.vertices, surface.faces), seen_points(*there))
    closed = case.truth.is_watertight
    overlap = volume_iou(inside_voxels(surface.vertices, surface.faces), inside_voxels(*there)) if closed else math.nan
    shown = [whole.rgba, *(render(mesh, target_cameras()[k], intrinsics(), VIEW_SIZE) for k in (0, VIEW_COUNT // 4))]
    pictures = [np.round(255 * on_white(picture)).astype(np.uint8) for picture in shown]
    return Rebuilt(iou(mask, truth), psnr, ssim, chamfer, overlap), pictures


def _compared(made: ViewSet, true: ViewSet) -> tuple[float, float]:
    """(PSNR, SSIM) of views on white, means over the 16."""
    pairs = [(on_white(a), on_white(b)) for a, b in zip(made.rgba, true.rgba, strict=True)]
    psnr = [-10 * np.log10(max(((a - b) ** 2).mean(), 1e-10)) for a, b in pairs]
    ssim = [structural_similarity(a, b, channel_axis=2, data_range=1.0) for a, b in pairs]
    return float(np.mean(psnr)), float(np.mean(ssim))


def _means(rows: list[Row]) -> dict[str, dict[str, float]]:
    """By way, over the scenes in which that way found an object; `found` is their share."""
    masks = {name: _mean([getattr(row, name) for row in rows]) for name in ("visible_alone", "best_of_3", "click_iou")}
    table = {"masks": masks}
    for way in rows[0].ways:
        found = [r for r in (row.ways[way] for row in rows) if r is not None]
        means = {field.name: _mean([getattr(r, field.name) for r in found]) for field in fields(Rebuilt)}
        table[way] = {"found": len(found) / len(rows), **means}
    return table


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _as_text(table: dict[str, dict[str, float]], rows: list[Row]) -> str:
    ways = [name for name in table if name != "masks"]
    names = list(table[ways[0]])
    lines = [f"{len(rows)} scenes; " + ", ".join(f"{name} {value:.3f}" for name, value in table["masks"].items())]
    lines.append(" " * 10 + "".join(f"{name:>10}" for name in names))
    lines += [f"{way:<10}" + "".join(f"{table[way][name]:10.3f}" for name in names) for way in ways]
    return "\n".join(lines)


def _square(picture: Image) -> Image:
    tile = PilImage.fromarray(picture)
    tile.thumbnail((SHOWN_SIZE, SHOWN_SIZE))
    canvas = PilImage.new("RGB", (SHOWN_SIZE, SHOWN_SIZE), "white")
    canvas.paste(tile, ((SHOWN_SIZE - tile.width) // 2, (SHOWN_SIZE - tile.height) // 2))
    return np.asarray(canvas)
