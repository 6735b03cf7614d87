"""A contact sheet of a mesh file: eight directions from above, eight from below.

python benchmarks/turntable.py MESH.glb OUT.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from unocclude.cameras import intrinsics, world_to_camera
from unocclude.pipeline.rasterise import render
from unocclude.pipeline.types import TexturedMesh

SIZE, COLUMNS = 160, 8
ELEVATIONS = (30.0, -20.0)


def read_glb(path: Path) -> TexturedMesh:
    """A mesh that Unocclude wrote, back in the z-up frame."""
    scene = trimesh.load(path, force="mesh", process=False)
    vertices = np.stack([scene.vertices[:, 0], -scene.vertices[:, 2], scene.vertices[:, 1]], 1)
    texture = np.asarray(scene.visual.material.baseColorTexture.convert("RGB"))
    return TexturedMesh(
        vertices.astype(np.float32), scene.faces.astype(np.int32), scene.visual.uv.astype(np.float32), texture
    )


def contact_sheet(mesh: TexturedMesh) -> Image.Image:
    sheet = Image.new("RGB", (COLUMNS * SIZE, len(ELEVATIONS) * SIZE), "white")
    for row, elevation in enumerate(ELEVATIONS):
        for column in range(COLUMNS):
            camera = world_to_camera(360 / COLUMNS * column, elevation)
            tile = Image.fromarray(render(mesh, camera, intrinsics(SIZE), SIZE))
            sheet.paste(tile, (column * SIZE, row * SIZE), tile)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mesh", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    contact_sheet(read_glb(options.mesh)).save(options.out, quality=85)


if __name__ == "__main__":
    main()
