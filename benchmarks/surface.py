"""The mesh stage beside the original NeuS: accuracy of ours, seconds of both, and how many times faster ours is.

    python benchmarks/surface.py --data DIR [--preset fast] [--reference-steps 1] [--held-out]

DIR is as for `unocclude evaluate surface`. Of the reference, a few of the 2,000 steps and a few layers of its 512^3
lattice are run on the first view set, and the time to its end is extrapolated from them: every step is the same work.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from unocclude.evaluation.surface import Case, cases, held_out_psnr, measure
from unocclude.models.neus_reference import HALF_SIDE, ReferenceNeus
from unocclude.pipeline.reference_fit import LATTICE, STEPS, fit

LAYERS = 2


def reference_seconds(case: Case, steps: int) -> tuple[float, float]:
    """Wall and CPU seconds of the whole reference, extrapolated."""
    torch.manual_seed(0)
    model = ReferenceNeus()
    start, cpu = time.perf_counter(), time.process_time()
    fit(model, case.views, steps, torch.Generator().manual_seed(0))
    step = np.array([time.perf_counter() - start, time.process_time() - cpu]) / steps

    axis = torch.linspace(-HALF_SIDE, HALF_SIDE, LATTICE)
    start, cpu = time.perf_counter(), time.process_time()
    with torch.no_grad():
        for x in axis[:LAYERS]:
            layer = torch.cartesian_prod(x[None], axis, axis)
            for part in torch.split(layer, 65_536):
                model.sdf(part)
    lattice = np.array([time.perf_counter() - start, time.process_time() - cpu]) / LAYERS * LATTICE
    wall, cpu_seconds = step * STEPS + lattice
    return float(wall), float(cpu_seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", choices=("fast", "balanced", "quality"), default="fast")
    parser.add_argument("--reference-steps", type=int, default=1)
    parser.add_argument("--held-out", action="store_true", help="also fit every second view and draw the others")
    options = parser.parse_args()

    first = None
    for case in cases(options.data):
        row, _ = measure(case, options.preset)
        first = first or (case, row)
        held_out = f", held-out views {held_out_psnr(case, options.preset):.2f} dB" if options.held_out else ""
        print(f"{row.name}: Chamfer {row.chamfer:.5f}, IoU {row.iou:.3f}, views {row.psnr:.2f} dB{held_out}; "
              f"{row.seconds:.1f} s, {row.cpu_seconds:.1f} CPU s, {row.memory_mb:.0f} MB", flush=True)  # fmt: skip
    if first is None:
        parser.error(f"{options.data} holds no view sets with true meshes")
    case, row = first
    wall, cpu = reference_seconds(case, options.reference_steps)
    print(f"reference on {row.name}, {STEPS} steps and {LATTICE}^3 lattice, extrapolated from "
          f"{options.reference_steps} steps: {wall:.0f} s, {cpu:.0f} CPU s")  # fmt: skip
    print(f"{options.preset} is {wall / row.seconds:.0f} times faster by the clock, "
          f"{cpu / row.cpu_seconds:.0f} times by CPU time")  # fmt: skip


if __name__ == "__main__":
    main()
