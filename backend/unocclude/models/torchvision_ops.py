"""Makes `import torchvision` work where its compiled operators do not load.

Some wheels of torchvision carry operators built for CUDA libraries that a CPU-only machine lacks. The import
then fails on `torchvision::nms`, and takes diffusers, transformers and segment-anything with it, although
nothing here calls an operator of torchvision. Declaring the two schemas that the import looks up is enough;
calling one of them still raises NotImplementedError.
"""

from __future__ import annotations

import sys

import torch

_declared: list[torch.library.Library] = []
"""Keeps the declarations alive: a Library takes its schemas back when it is collected."""


def make_torchvision_importable() -> None:
    """Imports torchvision, declaring the missing schemas only if that fails."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        schemas = torch.library.Library("torchvision", "DEF")
        schemas.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        schemas.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(schemas)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        import torchvision  # noqa: F401
