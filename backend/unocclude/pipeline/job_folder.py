"""What a job leaves behind: its folder, written file by file, each one whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PilImage

from unocclude.pipeline.types import Image, Mask


class JobFolder:
    """Made with the first file, so that a job refused for its input leaves nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def picture(self, name: str, picture: Image) -> None:
        self.file(name, lambda partial: PilImage.fromarray(picture).save(partial, "PNG"))

    def mask(self, name: str, mask: Mask) -> None:
        """8-bit grey, 0 or 255."""
        self.picture(name, 255 * mask.astype(np.uint8))

    def json(self, name: str, values: dict[str, Any]) -> None:
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        self.file(name, lambda partial: partial.write_text(text, encoding="utf-8"))

    def file(self, name: str, write: Callable[[Path], object]) -> None:
        """`write` gets a path of its own; what it wrote appears under `name` in one step."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        try:
            write(partial)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
