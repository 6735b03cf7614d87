"""Reconstruct without a window: each picture becomes a .blend file. Started by headless.py."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import bpy
from bpy.types import Object

from .core.backend import python_or_reason
from .core.dependencies import provide_pyzmq
from .core.job import Job, Phase
from .core.link import Link, Order
from .core.placement import Placement
from .core.requests import Request, Run, parse
from .core.result import coverage as coverage_of
from .core.session import Session
from .placement import place, seen_by
from .wire.connection import home_folder
from .wire.errors import InputError, UnoccludeError


@dataclass(frozen=True)
class Outcome:
    """A line of the summary. Counts are of the mesh in the .blend file, the IoU with the object's silhouette.

    `request`: the digest of what was asked, by which a later run knows that it was done.
    """

    name: str
    image: str
    ok: bool
    seconds: float
    request: str | None = None
    blend: str | None = None
    vertices: int = 0
    faces: int = 0
    silhouette_iou: float | None = None
    error: str | None = None
    cure: str | None = None
    exit_code: int = 0


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0 where every picture worked out, else that of the first error."""
    try:
        run = parse(arguments)
        run.out.mkdir(parents=True, exist_ok=True)
    except (UnoccludeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    provide_pyzmq()
    session = Session(Link(home_folder()), Link(home_folder()))
    outcomes = _done(run) if run.resume else {}
    if outcomes:
        print(f"{len(outcomes)} of {len(run.requests)} done before", flush=True)
    try:
        for request in run.requests:
            if request.name not in outcomes:
                outcomes[request.name] = _outcome(session, request, run.out, run.backend)
                _write_summary([outcomes[r.name] for r in run.requests if r.name in outcomes], run.out)
    finally:
        session.close()
    return next((outcomes[r.name].exit_code for r in run.requests if not outcomes[r.name].ok), 0)


def _write_summary(outcomes: list[Outcome], out: Path) -> None:
    """After each picture, and whole or not at all: an interrupted run has told what it did."""
    summary = {"blender": bpy.app.version_string, "pictures": [asdict(outcome) for outcome in outcomes]}
    partial = out / "summary.json.partial"
    partial.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, out / "summary.json")


def _done(run: Run) -> dict[str, Outcome]:
    """By name: the requests that worked out in a run before into this folder."""
    try:
        told = json.loads((run.out / "summary.json").read_text(encoding="utf-8"))["pictures"]
        before = {outcome.request: outcome for outcome in (Outcome(**values) for values in told) if outcome.ok}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"summary.json cannot be read, so everything is done anew ({error})", file=sys.stderr, flush=True)
        return {}
    found = {request.name: before.get(_digest(request)) for request in run.requests}
    return {name: o for name, o in found.items() if o and o.request and o.blend and Path(o.blend).is_file()}


def _digest(request: Request) -> str | None:
    """None where its files cannot be read, which the attempt itself will say."""
    try:
        return request.digest()
    except OSError:
        return None


def _outcome(session: Session, request: Request, out: Path, backend: str) -> Outcome:
    started = time.monotonic()
    asked = _digest(request)  # before the work: the files may change meanwhile
    folder = out / request.name
    try:
        job = _reconstruct(session, request, folder, backend)
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        body, coverage = _placed(job, request.image)
        blend = folder / f"{request.name}.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(blend.resolve()), check_existing=False)
    except UnoccludeError as error:
        print(f"error: {request.name}: {error}", file=sys.stderr, flush=True)
        return Outcome(
            request.name,
            str(request.image),
            ok=False,
            seconds=round(time.monotonic() - started, 1),
            error=error.message,
            cure=error.cure,
            exit_code=error.exit_code,
        )
    print(f"{request.name}: {blend}", flush=True)
    return Outcome(
        request.name,
        str(request.image),
        ok=True,
        seconds=round(time.monotonic() - started, 1),
        request=asked,
        blend=str(blend),
        vertices=len(body.data.vertices),
        faces=len(body.data.polygons),
        silhouette_iou=None if coverage is None else round(coverage, 4),
    )


def _placed(job: Job, image: Path) -> tuple[Object, float | None]:
    """The body in the empty scene, and how well it covers the object in the photograph."""
    scene = bpy.context.scene
    placed = place(job, scene, bpy.context.view_layer, bpy.data.images.load(str(image.resolve())), Placement())
    body = scene.objects[placed.body]
    if placed.camera is None or job.result is None or job.imagined is None:
        return body, None
    camera = seen_by(scene.objects[placed.camera], scene, body.matrix_world, job.imagined.size)
    return body, coverage_of(job.result, job.imagined, camera)


def _reconstruct(session: Session, request: Request, folder: Path, backend: str) -> Job:
    """The job once its mesh has arrived. Raises what went wrong. No timers run without a window, so wait here."""
    picture = _file(request.image)
    mask = None if request.mask is None else _file(request.mask)
    job = Job(request.spec, picture=request.image.name, scene="")
    session.reconstruct(job, Order(job.id, job.spec, lambda: picture, folder, python_or_reason(backend), mask))
    told = ""
    while job.phase is not Phase.ARRIVED:
        session.take_news()
        if job.error is not None:
            raise job.error
        if job.headline != told:
            told = job.headline
            print(f"{request.name}: {told}", flush=True)
        time.sleep(0.02)
    job.enter(Phase.PLACED)
    return job


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).", "Give a picture file.") from None
