"""Take docs/images/photographs.jpg: what the bundled models make of real photographs, failures among them.

    python docs/photographs.py FOLDER

FOLDER holds the sample pictures of OpenCV (Debian: opencv-doc, /usr/share/doc/opencv-doc/examples/data); the others
are scikit-image's, which is installed with the backend.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from unocclude.pipeline.overview import GAP, TILE, TITLE

IMAGE = Path(__file__).with_name("images") / "photographs.jpg"
SCIKIT = Path(skimage.data.__file__).parent
Points = list[tuple[int, int]]
CLICKS: list[tuple[str, Points, Points]] = [
    ("aloeL.jpg", [(850, 940)], []),
    ("fruits.jpg", [(410, 230), (440, 180)], [(430, 320)]),
    ("coffee.png", [(110, 180), (200, 350), (440, 260)], [(270, 150)]),
    ("box_in_scene.png", [(250, 60), (300, 130)], [(220, 200)]),
]
"""Picture, clicks on the object, clicks beside it; pixels."""


def main(folder: Path) -> None:
    rows = [_row(folder if (folder / name).exists() else SCIKIT, name, on, off) for name, on, off in CLICKS]
    Image.fromarray(np.concatenate(rows)).save(IMAGE, quality=88)


def _row(folder: Path, name: str, on: Points, off: Points) -> np.ndarray:
    """(TILE + GAP, W, 3): the photograph, the completion that goes on, the mesh from three sides."""
    with tempfile.TemporaryDirectory() as out:
        clicks = [f for kind, points in (("--point", on), ("--negative", off)) for x, y in points for f in (kind, x, y)]
        words = ["reconstruct", folder / name, *clicks, "--preset", "fast", "--out", out]
        subprocess.run([sys.executable, "-m", "unocclude", *map(str, words)], check=True)
        overview = np.asarray(Image.open(Path(out) / "overview.png"))
        chosen = json.loads((Path(out) / "report.json").read_text())["scores"]["chosen"]
    step = TILE + GAP
    imagined, mesh = overview[TITLE : TITLE + step], overview[-step:]
    tiles = [(imagined, 0), (imagined, 1 + chosen), *((mesh, turn) for turn in range(3))]
    return np.concatenate([row[:, k * step : (k + 1) * step] for row, k in tiles], axis=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
