"""The demo's picture: a milk carton on a table, half hidden behind a mug. Made here, so free of others' rights."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from unocclude.data.families import FAMILIES
from unocclude.data.objects import merge
from unocclude.data.renderer import Lighting, ObjectRenderer
from unocclude.data.scenes import Picture, over

SIZE = 512
LIGHT = Lighting(
    directions=np.array([[0.5, 0.6, 0.62], [0.7, -0.6, 0.4]]),
    strengths=np.array([[0.55, 0.54, 0.5], [0.15, 0.16, 0.18]]),
    ambient=0.5,
    gloss=0.12,
    shininess=25.0,
)
ELEVATION = 16.0


PROMPT = {"points": [[240, 181], [200, 285], [220, 380]], "negatives": [[380, 300]]}
"""A click on each differently coloured part of the carton, the first where it would be tried first; one on the mug."""


def write_sample(folder: Path) -> None:
    """sample.png, and sample.json with the clicks."""
    whole = _layer("carton", 6, extent=330, centre=(238, 250))
    front = _layer("mug", 7, extent=230, centre=(345, 352))
    image = _table()
    for layer in (whole, front):
        image = over(_with_contact_shadow(image, layer), layer)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    (folder / "sample.png").write_bytes(stream.getvalue())
    (folder / "sample.json").write_text(json.dumps(PROMPT) + "\n")


def _layer(family: str, seed: int, extent: int, centre: tuple[int, int]) -> Picture:
    """(512, 512, 4): an object of that family and seed, its longer side `extent` pixels, its middle at `centre`."""
    rng = np.random.default_rng(seed)
    painted = merge(family, FAMILIES[family][0](rng), np.eye(3))
    drawn = Image.fromarray(ObjectRenderer(painted, LIGHT).render(25.0, ELEVATION, 2 * SIZE).rgba)
    piece = drawn.crop(drawn.getbbox())
    piece.thumbnail((extent, extent), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (SIZE, SIZE))
    canvas.paste(piece, (centre[0] - piece.width // 2, centre[1] - piece.height // 2))
    return np.asarray(canvas)


def _table() -> Picture:
    """A plain wall over a wooden table, both slightly uneven."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    wall = np.array([0.72, 0.78, 0.80]) * (1.05 - 0.2 * np.hypot(x - 0.4, y - 0.1))[..., None]
    grain = 0.03 * np.sin(60 * y + 4 * np.sin(3 * x + 8 * y)) + 0.02 * np.sin(170 * y + 9 * np.sin(2 * x))
    table = np.array([0.62, 0.46, 0.32]) * (0.85 + 0.3 * y + grain)[..., None]
    picture = np.where(y[..., None] < 0.55, wall, table)
    noise = np.random.default_rng(0).normal(0, 0.012, picture.shape)
    blurred = ndimage.gaussian_filter(picture, (2, 2, 0)) + noise
    return np.round(255 * np.clip(blurred, 0, 1)).astype(np.uint8)


def _with_contact_shadow(image: Picture, layer: Picture) -> Picture:
    """Dark and soft around the object's foot."""
    rows, columns = np.nonzero(layer[..., 3] > 127)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    across = (x - columns.mean()) / (0.62 * np.ptp(columns))
    down = (y - (rows.max() - 0.06 * np.ptp(rows))) / (0.16 * np.ptp(rows))
    shadow = 0.55 * np.exp(-((across**2 + down**2) ** 1.5))
    return np.round(image * (1 - shadow[..., None])).astype(np.uint8)
