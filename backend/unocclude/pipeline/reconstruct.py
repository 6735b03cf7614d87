"""The whole mission: a photograph and a click in, the whole object as a textured mesh out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unocclude.models.elevation import estimate_elevation
from unocclude.models.memory import Passes
from unocclude.models.profiles import Models
from unocclude.pipeline import inputs
from unocclude.pipeline.complete import amodal_mask, complete, most_agreed
from unocclude.pipeline.crop import crop_around
from unocclude.pipeline.export import write_glb
from unocclude.pipeline.front import front_view, silhouette_iou
from unocclude.pipeline.job_folder import JobFolder
from unocclude.pipeline.overview import overview
from unocclude.pipeline.report import Report
from unocclude.pipeline.segment import segment
from unocclude.pipeline.stage_runner import StageRunner
from unocclude.pipeline.surface import fit_surface
from unocclude.pipeline.texture import texture_surface
from unocclude.pipeline.types import (
    Completion,
    Completions,
    Crop,
    Image,
    JobResult,
    JobSpec,
    Mask,
    Progress,
    no_progress,
)
from unocclude.pipeline.views import generate_views
from unocclude.protocol import STAGES


def reconstruct(
    image: Image,
    spec: JobSpec,
    out: Path,
    models: Models,
    mask: Mask | None = None,
    progress: Progress = no_progress,
    kept: Path | None = None,
    imagined: Image | None = None,
) -> JobResult:
    """Runs the stages up to `spec.to` and leaves their results in `out`.

    image (H, W, 3) uint8. mask (H, W) bool: the visible part, if it is known; it replaces the segmentation.
    imagined (S, S, 4) uint8 RGBA in `spec.crop`: the whole object, if it is known; it replaces the imagining.
    `kept`: folder of what stages gave; a stage with the same inputs as one before does not run again.
    Raises InputError or ModelsMissingError before anything is written; `Cancelled` passes through from `progress`.
    """
    inputs.check(spec, image, mask, imagined)
    stages = STAGES[: STAGES.index(spec.to) + 1]
    given = {"segment": mask is not None, "complete": imagined is not None}
    models.require([stage for stage in stages if not given.get(stage, False)])
    profile, folder, report = models.profile, JobFolder(out), Report(spec, models.device)
    run = StageRunner(kept, models.device)
    passes = Passes(models.tier.at_once, report.warnings.append)
    shown: dict[str, Any] = {}

    def finish() -> JobResult:
        folder.picture("overview.png", overview(image, spec.prompt, visible, **shown))
        values = report.finished(models.hashes(), run.reused)
        folder.json("report.json", values)
        return JobResult(out, values)

    with report.timed("segment"):
        progress("segment", 0, 1)
        network = models.weights("segment")
        visible = run(segment, image, spec.prompt, network, models.device) if mask is None else mask
        progress("segment", 1, 1)
    folder.mask("visible_mask.png", visible)
    if spec.to == "segment":
        return finish()

    with report.timed("complete"):
        asked = None if spec.crop is None else Crop(*spec.crop)
        if imagined is not None:
            made = Completions([Completion(imagined)], asked or crop_around(visible))
        else:
            made = run(
                complete,
                image,
                visible,
                asked,
                models.weights("complete"),
                samples=spec.samples,
                steps=spec.steps or profile.steps("complete", spec.sampler),
                guidance=profile.completion_guidance if spec.guidance is None else spec.guidance,
                seed=spec.seed,
                temperature=profile.completion_temperature,
                sampler=spec.sampler,
                passes=passes,
                progress=progress,
            )
        completions, crop = made.samples, made.crop
        amodal = amodal_mask(completions, visible, crop)
        chosen = most_agreed(completions, amodal, crop) if spec.choose is None else spec.choose
        whole = completions[chosen]
    for number, completion in enumerate(completions):
        folder.picture(f"completion_{number:02d}.png", completion.rgba)
    folder.mask("amodal_mask.png", amodal)
    report.crop(crop, len(whole.rgba))
    report.scores |= {"chosen": chosen, "visible_share": round(float(visible.sum() / amodal.sum()), 4)}
    shown |= {"amodal": amodal, "completions": completions, "chosen": chosen}
    if spec.to == "complete":
        return finish()

    with report.timed("views"):
        elevation = spec.elevation
        if elevation is None:
            elevation = run(estimate_elevation, models.weights("elevation"), whole.rgba)
        views = run(
            generate_views,
            whole,
            elevation,
            models.weights("views"),
            steps=spec.steps or profile.steps("views", spec.sampler),
            guidance=profile.view_guidance if spec.guidance is None else spec.guidance,
            seed=spec.seed,
            sampler=spec.sampler,
            passes=passes,
            progress=progress,
        )
    for number, view in enumerate(views.rgba):
        folder.picture(f"views/{number:03d}.png", view)
    report.elevation(elevation, estimated=spec.elevation is None)
    shown |= {"views": views}
    if spec.to == "views":
        return finish()

    with report.timed("mesh"):
        surface = run(fit_surface, views, spec.preset, spec.seed, models.device, progress)
        front = run(front_view, surface, whole, elevation)
        mesh = run(texture_surface, surface, views, front)
    extras = {"seed": spec.seed, "profile": spec.profile, "preset": spec.preset}
    folder.file("mesh.glb", lambda path: write_glb(mesh, path, extras))
    report.camera(front, crop)
    report.scores |= {"faces": len(mesh.faces), "silhouette_iou": round(silhouette_iou(surface, front), 4)}
    shown |= {"mesh": mesh}
    return finish()
