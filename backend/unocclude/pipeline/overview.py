"""overview.png: one picture of a whole job, for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont
from scipy import ndimage

from unocclude import cameras
from unocclude.pipeline.rasterise import render
from unocclude.pipeline.types import Completion, Image, Mask, Prompt, TexturedMesh, ViewSet

TILE = 256
GAP = 8
TITLE = 22
"""Pixels above each row."""
GROUND = (250, 250, 250)
INK = (40, 40, 40)
VISIBLE, AMODAL = (255, 60, 40), (40, 160, 255)
TURNTABLE = ((0.0, 20.0), (90.0, 20.0), (180.0, 20.0), (270.0, 20.0), (45.0, 60.0))
"""(azimuth, elevation) of the mesh pictures, degrees."""


def overview(
    image: Image,
    prompt: Prompt,
    visible: Mask,
    amodal: Mask | None = None,
    completions: Sequence[Completion] = (),
    chosen: int = 0,
    views: ViewSet | None = None,
    mesh: TexturedMesh | None = None,
) -> Image:
    """(H, W, 3): a row each for the photograph, the completions, the views and the mesh, as far as the job went."""
    first = "photograph, visible part (red), whole object (blue)"
    if completions:
        first += f"; completions, number {chosen} goes on"
    rows = [(first, [_outlined(image, prompt, visible, amodal), *(_tile(c.rgba) for c in completions)])]
    if views is not None:
        half = [_tile(v, TILE // 2) for v in views.rgba]
        rows.append(("16 views", [np.concatenate(half[k : k + 2]) for k in range(0, len(half), 2)]))
    if mesh is not None:
        k = cameras.intrinsics(TILE)
        turns = [render(mesh, cameras.world_to_camera(a, e), k, TILE) for a, e in TURNTABLE]
        rows.append(("mesh", [_tile(t) for t in turns]))
    return _stacked(rows)


def _outlined(image: Image, prompt: Prompt, visible: Mask, amodal: Mask | None) -> Image:
    height, width = image.shape[:2]
    scale = TILE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    picture = np.array(PilImage.fromarray(image).resize(size, PilImage.Resampling.LANCZOS))
    for mask, colour in ((amodal, AMODAL), (visible, VISIBLE)):
        if mask is not None:
            small = np.asarray(PilImage.fromarray(mask).resize(size, PilImage.Resampling.NEAREST))
            picture[small & ~ndimage.binary_erosion(small)] = colour
    marked = PilImage.fromarray(picture)
    draw = ImageDraw.Draw(marked)
    for points, fill in ((prompt.points, "lime"), (prompt.negatives, "red")):
        for x, y in points:
            cx, cy = x * scale, y * scale
            draw.ellipse([cx - 4, cy - 4, cx + 4, cy + 4], fill=fill, outline="black")
    canvas = PilImage.new("RGB", (TILE, TILE), GROUND)
    canvas.paste(marked, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return np.asarray(canvas)


def _tile(rgba: Image, size: int = TILE) -> Image:
    """On a light chequer, so that white objects and transparency can be told apart."""
    layer = np.asarray(PilImage.fromarray(rgba).resize((size, size), PilImage.Resampling.LANCZOS)).astype(np.float32)
    y, x = np.mgrid[0:size, 0:size] // 16
    chequer = np.where((x + y) % 2, 225.0, 245.0)[..., None]
    alpha = layer[..., 3:] / 255
    return np.round(layer[..., :3] * alpha + chequer * (1 - alpha)).astype(np.uint8)


def _stacked(rows: list[tuple[str, list[Image]]]) -> Image:
    width = GAP + max(sum(t.shape[1] + GAP for t in tiles) for _, tiles in rows)
    height = sum(TITLE + max(t.shape[0] for t in tiles) + GAP for _, tiles in rows)
    canvas = PilImage.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(canvas)
    y = 0
    for text, tiles in rows:
        draw.text((GAP, y + 3), text, fill=INK, font=ImageFont.load_default(14))
        x = GAP
        for tile in tiles:
            canvas.paste(PilImage.fromarray(tile), (x, y + TITLE))
            x += tile.shape[1] + GAP
        y += TITLE + max(t.shape[0] for t in tiles) + GAP
    return np.asarray(canvas)
