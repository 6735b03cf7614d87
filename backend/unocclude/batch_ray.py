"""Many images at once on Ray: over the cores and GPUs of this machine, or over a cluster.

Ray is an extra: `pip install 'unocclude[ray]'`. Where RAY_ADDRESS names a cluster, it is used; all its machines must
see the images and the output folder under the same paths, and have Unocclude installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from unocclude.batch import Engine, Outcome, Work, do
from unocclude.devices import pick_device
from unocclude.errors import UnoccludeError
from unocclude.models.profiles import Models
from unocclude.pipeline.types import no_progress
from unocclude.protocol import make_error

MAX_RETRIES = 3
"""So often an image is tried again whose worker died."""


def on_ray(profile: str, device: str, weights: Path | None, workers: int | None) -> Engine:
    """`workers`: images at once on this machine, by default one for each GPU, or else for each core.

    Raises UnoccludeError where Ray is not installed, InputError where there is no such device.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UnoccludeError("Ray is not installed.", "Install it with: pip install 'unocclude[ray]'") from error
    gpus = int(pick_device(device).type == "cuda")

    def engine(all_work: Sequence[Work]) -> Iterator[Outcome]:
        here = None if os.environ.get("RAY_ADDRESS") else workers
        ray.init(num_cpus=here, include_dashboard=False, log_to_driver=False)
        try:
            # Ray gives each worker as many threads as it has processors: one.
            task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=MAX_RETRIES)(reconstruct_on_worker)
            pending = {task.remote(work, profile, device, weights): work for work in all_work}
            while pending:
                (finished,), _ = ray.wait(list(pending))
                work = pending.pop(finished)
                try:
                    yield work, ray.get(finished)
                except ray.exceptions.RayError as error:
                    words = f"Its worker died {MAX_RETRIES + 1} times ({type(error).__name__})."
                    yield work, make_error("worker", words, "Look at the image, or run it alone.")
        finally:
            ray.shutdown()

    return engine


def reconstruct_on_worker(work: Work, profile: str, device: str, weights: Path | None) -> UnoccludeError | None:
    """What a Ray worker runs. Where a worker before died after its last write, there is nothing left to do."""
    return None if work.done else do(work, _models(profile, device, weights), no_progress)


@lru_cache(maxsize=1)
def _models(profile: str, device: str, weights: Path | None) -> Models:
    """Kept in the worker's process from one image to the next."""
    return Models(profile, pick_device(device), weights)
