"""The command line: `unocclude …`. Heavy libraries are imported only by the commands that need them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from unocclude import __version__
from unocclude.errors import InputError, UnoccludeError
from unocclude.protocol import STAGES, JobSpec, Prompt

if TYPE_CHECKING:
    from unocclude.models.profiles import Models

PRESETS = ("fast", "balanced", "quality")
COMPARISONS = {"radiance": "a radiance field, rough", "reference": "the original NeuS, slow"}
"""Other ways to a surface that SyncDreamer has, for comparison."""
EVALUATIONS = ("completion", "elevation", "occlusion", "surface")
"""Modules of unocclude.evaluation, each with `evaluate(data, out)`."""
TRAINABLE = (
    "objects",
    "pairs",
    "autoencoder",
    "segmenter",
    "completion",
    "inputs",
    "elevation",
    "guess",
    "hollows",
    "views",
    "all",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0 done, 2 the input is at fault, 130 cancelled, 1 anything else."""
    options = _parser().parse_args(arguments)
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "5")  # few lines where nobody watches
    try:
        options.run(options)
    except UnoccludeError as error:
        print(f"unocclude: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("unocclude: cancelled.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unocclude",
        description="Click a half-hidden object in a picture, get the whole object as a textured mesh.",
    )
    parser.add_argument("--version", action="version", version=f"unocclude {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="the whole job on a sample picture, through the real backend")
    demo.add_argument("--out", type=Path, default=Path("unocclude-demo"), metavar="DIR")
    demo.set_defaults(run=_demo)

    one = commands.add_parser("reconstruct", help="one object of one image")
    one.add_argument("image", type=Path)
    one.add_argument("--point", type=float, nargs=2, action="append", default=[], metavar=("X", "Y"))
    one.add_argument("--negative", type=float, nargs=2, action="append", default=[], metavar=("X", "Y"))
    one.add_argument("--box", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"))
    one.add_argument("--mask", type=Path, metavar="PNG", help="the visible part, white; replaces the segmentation")
    one.add_argument(
        "--completion",
        type=Path,
        metavar="PNG",
        help="the whole object, RGBA, such as a completion that was painted over; replaces the imagining",
    )
    one.add_argument(
        "--crop",
        type=int,
        nargs=3,
        metavar=("LEFT", "TOP", "SIDE"),
        help="the square of the image that holds the whole object; with --completion, where that lies (default: found)",
    )
    _job_options(one)
    one.add_argument("--out", type=Path, default=Path("unocclude-out"), metavar="DIR")
    one.add_argument("--json", action="store_true", help="print the report")
    one.set_defaults(run=_reconstruct)

    surface = commands.add_parser("surface", help="16 view images to a textured mesh")
    surface.add_argument("views", type=Path, metavar="VIEWS_DIR")
    surface.add_argument(
        "--preset",
        choices=(*PRESETS, *COMPARISONS),
        default="balanced",
        help="; ".join(f"{name}: {what}" for name, what in COMPARISONS.items()),
    )
    surface.add_argument("--base", type=float, metavar="Z", help="height of the flat underside (default: found)")
    surface.add_argument("--seed", type=int, default=0)
    surface.add_argument("--device", default="auto")
    surface.add_argument("--out", type=Path, default=Path("mesh.glb"), metavar="GLB")
    surface.add_argument("--json", action="store_true")
    surface.set_defaults(run=_surface)

    batch = commands.add_parser("batch", help="many images: a folder, or a manifest with one JSON object a line")
    batch.add_argument("source", type=Path, metavar="MANIFEST.jsonl|DIR")
    _job_options(batch)
    batch.add_argument("--out", type=Path, default=Path("unocclude-out"), metavar="DIR")
    batch.add_argument("--resume", action="store_true", help="skip what is finished")
    batch.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: many images at once")
    batch.add_argument("--workers", type=int, metavar="N", help="with ray: images at once on this machine")
    batch.set_defaults(run=_batch)

    serve = commands.add_parser("serve", help="run the backend")
    serve.add_argument("--endpoint", help="default: a free port of this machine only")
    serve.add_argument("--weights", type=Path, metavar="DIR", help="folder of the official weights")
    serve.add_argument(
        "--devices", nargs="+", default=(), help="a worker for each: auto, cpu or cuda:NUMBER (default: every GPU)"
    )
    serve.add_argument("--keep-days", type=float, default=30.0, help="forget jobs that ended longer ago (default 30)")
    serve.add_argument("--keep-gb", type=float, default=20.0, help="forget the oldest jobs above that (default 20)")
    serve.set_defaults(run=_serve)
    for name, help_text in (
        ("status", "how the backend is"),
        ("jobs", "its jobs"),
        ("metrics", "its counts, as JSON"),
        ("stop", "end it"),
    ):
        commands.add_parser(name, help=help_text).set_defaults(run=_backend_command, command=name)

    clients = commands.add_parser("clients", help="which other machines may use the backend")
    actions = clients.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", help="who was paired").set_defaults(run=_clients, action="list")
    pair = actions.add_parser("pair", help="let another machine in")
    pair.add_argument("name")
    pair.add_argument("--endpoint", required=True, help="this machine as the other reaches it: tcp://HOST:PORT")
    pair.add_argument("--out", type=Path, default=Path("connection.json"), metavar="FILE", help="what the other needs")
    pair.set_defaults(run=_clients, action="pair")
    revoke = actions.add_parser("revoke", help="shut it out again, at once")
    revoke.add_argument("name")
    revoke.set_defaults(run=_clients, action="revoke")

    models = commands.add_parser("models", help="which weights there are; get, check and remove the official ones")
    models.add_argument("action", choices=("list", "licences", "download", "verify", "add", "remove"))
    models.add_argument("names", nargs="*", metavar="NAME", help="files; default: all that the action can be about")
    models.add_argument("--weights", type=Path, metavar="DIR", help="folder of the official weights")
    models.add_argument("--accept-licence", action="store_true", help="say yes to the licences, for scripts")
    models.add_argument("--mirror", metavar="URL", help="get the files from this address instead")
    models.add_argument(
        "--json", action="store_true", help="list: what is needed; download: how far it is, line by line"
    )
    models.set_defaults(run=_models)

    evaluate = commands.add_parser("evaluate", help="measure on data with ground truth")
    evaluate.add_argument("suite", choices=EVALUATIONS)
    evaluate.add_argument("--data", type=Path, required=True, metavar="DIR")
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="also write the table as JSON, and pictures")
    evaluate.set_defaults(run=_evaluate)

    recognise = commands.add_parser("recognise", help="say what a completed object is, by CLIP (official weights)")
    recognise.add_argument("folder", type=Path, metavar="JOB_FOLDER")
    recognise.add_argument("--image", type=Path, help="the photograph: also ask without completing the object")
    recognise.add_argument("--labels", type=Path, metavar="FILE", help="one label a line (default: COCO's 80)")
    recognise.add_argument("--top", type=int, default=5)
    recognise.add_argument("--weights", type=Path, metavar="DIR", help="folder of the official weights")
    recognise.add_argument("--device", default="auto")
    recognise.add_argument("--json", action="store_true")
    recognise.set_defaults(run=_recognise)

    bench = commands.add_parser("bench", help="seconds and memory of each stage's network on this machine")
    bench.add_argument("profile")
    bench.add_argument("--random-weights", action="store_true", required=True, help="needs no download")
    bench.add_argument("--device", default="auto")
    bench.add_argument("--whole", action="store_true", default=None, help="stages as in a job (default on a GPU)")
    bench.add_argument("--out", type=Path, metavar="DIR", help="also write bench.md and bench.json")
    bench.set_defaults(run=_bench)

    train = commands.add_parser("train", help="make training data, train a bundled model")
    train.add_argument("what", choices=TRAINABLE)
    train.add_argument("--config", type=Path, metavar="TOML", help="default: training/default.toml of the package")
    train.set_defaults(run=_train)

    commands.add_parser("doctor", help="what this machine has, what works, what to do about the rest").set_defaults(
        run=_doctor
    )
    return parser


def _job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="bundled", help="bundled (default) or official")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="folder of the official weights")
    parser.add_argument("--samples", type=int, default=4, help="completions to imagine (default 4)")
    parser.add_argument("--choose", type=int, metavar="K", help="the completion to go on with (default: the consensus)")
    parser.add_argument("--elevation", default="auto", metavar="DEG|auto", help="the camera's height, degrees")
    parser.add_argument("--steps", type=int, help="sampler steps (default: the profile's)")
    parser.add_argument("--guidance", type=float, help="guidance scale (default: the profile's)")
    parser.add_argument("--sampler", default="fast", help="fast (default) or reference: the authors' own, slow")
    parser.add_argument("--preset", default="balanced", help="fast, balanced (default) or quality")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    parser.add_argument("--to", default=STAGES[-1], help=f"last stage: {', '.join(STAGES)} (default)")


def _spec(options: argparse.Namespace, prompt: Prompt) -> JobSpec:
    try:
        elevation = None if options.elevation == "auto" else float(options.elevation)
    except ValueError as error:
        raise InputError(f"The elevation is “{options.elevation}”.", "Give degrees, or auto.") from error
    return JobSpec(
        prompt=prompt,
        profile=options.profile,
        samples=options.samples,
        choose=options.choose,
        elevation=elevation,
        steps=options.steps,
        guidance=options.guidance,
        sampler=options.sampler,
        preset=options.preset,
        seed=options.seed,
        device=options.device,
        to=options.to,
    )


def _loaded_models(options: argparse.Namespace) -> Models:
    from unocclude.devices import pick_device
    from unocclude.models.profiles import Models

    return Models(options.profile, pick_device(options.device), options.weights)


def _reconstruct(options: argparse.Namespace) -> None:
    from unocclude.pipeline import inputs
    from unocclude.pipeline.reconstruct import reconstruct
    from unocclude.progress_bars import ProgressBars

    prompt = Prompt(
        tuple(map(tuple, options.point)),
        tuple(map(tuple, options.negative)),
        tuple(options.box) if options.box else None,
    )
    spec = replace(_spec(options, prompt), crop=tuple(options.crop) if options.crop else None)
    image = inputs.read_image(options.image)
    mask = inputs.read_mask(options.mask) if options.mask else None
    imagined = inputs.read_completion(options.completion) if options.completion else None
    with ProgressBars() as bars:
        result = reconstruct(image, spec, options.out, _loaded_models(options), mask, bars, imagined=imagined)
    for warning in result.report["warnings"]:
        print(f"unocclude: {warning}", file=sys.stderr)
    print(json.dumps(result.report, indent=2) if options.json else f"Done: {options.out}")


def _demo(options: argparse.Namespace) -> None:
    from unocclude.demo import demo

    demo(options.out)


def _surface(options: argparse.Namespace) -> None:
    from unocclude.devices import pick_device
    from unocclude.pipeline.export import write_glb
    from unocclude.pipeline.hull import unsupported_views
    from unocclude.pipeline.radiance_fit import fit_radiance_surface
    from unocclude.pipeline.reference_fit import fit_reference_surface
    from unocclude.pipeline.surface import fit_surface
    from unocclude.pipeline.texture import texture_surface
    from unocclude.pipeline.view_files import load_views
    from unocclude.progress_bars import ProgressBars

    if options.preset in COMPARISONS and options.base is not None:
        raise InputError(f"The preset {options.preset} takes no base.", "Leave out --base, or take another preset.")
    views, warnings = load_views(options.views)
    foreign = ", ".join(f"{number:03d}.png" for number in unsupported_views(views))
    if foreign:
        warnings.append(f"Other views rule out much of what {foreign} shows: is it the same object?")
    device = pick_device(options.device)
    with ProgressBars() as bars:
        if options.preset == "reference":
            surface = fit_reference_surface(views, options.seed, device, bars)
        elif options.preset == "radiance":
            surface = fit_radiance_surface(views, options.seed, device, bars)
        else:
            surface = fit_surface(views, options.preset, options.seed, device, bars, options.base)
    mesh = texture_surface(surface, views)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_glb(mesh, options.out, {"seed": options.seed, "preset": options.preset})
    for warning in warnings:
        print(f"unocclude: {warning}", file=sys.stderr)
    facts = {"mesh": str(options.out), "faces": len(mesh.faces), "warnings": warnings}
    print(json.dumps(facts, indent=2) if options.json else f"Done: {options.out}, {facts['faces']} faces")


def _batch(options: argparse.Namespace) -> None:
    from unocclude.batch import in_this_process, run_batch

    if options.engine == "ray":
        from unocclude.batch_ray import on_ray

        engine = on_ray(options.profile, options.device, options.weights, options.workers)
    else:
        engine = in_this_process(_loaded_models(options))
    run_batch(options.source, options.out, lambda prompt: _spec(options, prompt), engine, options.resume)


def _serve(options: argparse.Namespace) -> None:
    from unocclude.server import commands
    from unocclude.server.retention import GIB, Limits

    limits = Limits(days=options.keep_days, files=int(options.keep_gb * GIB))
    commands.serve(
        options.endpoint or commands.DEFAULT_ENDPOINT, options.weights, limits=limits, devices=options.devices
    )


def _backend_command(options: argparse.Namespace) -> None:
    from unocclude.server import commands

    actions = {"status": commands.status, "jobs": commands.jobs, "metrics": commands.metrics, "stop": commands.stop}
    actions[options.command]()


def _clients(options: argparse.Namespace) -> None:
    from unocclude.server import commands

    if options.action == "list":
        commands.list_clients()
    elif options.action == "pair":
        commands.pair_client(options.name, options.endpoint, options.out)
    else:
        commands.revoke_client(options.name)


def _models(options: argparse.Namespace) -> None:
    from unocclude.models import model_commands
    from unocclude.models.model_folder import ModelFolder

    folder, names = ModelFolder(options.weights), options.names
    match options.action:
        case "list":
            print(json.dumps(model_commands.needed(folder)) if options.json else model_commands.listing(folder))
        case "licences":
            print(model_commands.licences(folder))
        case "download":
            tell = _json_progress() if options.json else None
            model_commands.download(names, folder, accept=options.accept_licence, mirror=options.mirror, tell=tell)
        case "verify":
            model_commands.verify(names, folder)
        case "add":
            model_commands.add(names, folder, accept=options.accept_licence)
        case "remove":
            model_commands.remove(names, folder)


def _json_progress() -> Callable[[int, int | None], None]:
    """A line with `have` and `total` bytes, a few times a second at most, and at the end."""
    last = 0.0

    def tell(have: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last > 0.2 or have == total:
            last = time.monotonic()
            print(json.dumps({"have": have, "total": total}), flush=True)

    return tell


def _evaluate(options: argparse.Namespace) -> None:
    with _training_extra():
        suite = import_module(f"unocclude.evaluation.{options.suite}")
    suite.evaluate(options.data, options.out)


def _recognise(options: argparse.Namespace) -> None:
    from unocclude.devices import pick_device
    from unocclude.models.profiles import Models
    from unocclude.pipeline.recognise import COCO, Recogniser, pictures_of_job, read_labels

    pictures = pictures_of_job(options.folder, options.image)
    labels = COCO if options.labels is None else read_labels(options.labels)
    clip, tokenizer = Models("official", pick_device(options.device), options.weights).clip()
    guesses = Recogniser(clip, tokenizer, labels).guesses(pictures, options.top)
    if options.json:
        print(json.dumps({name: [vars(guess) for guess in found] for name, found in guesses.items()}, indent=2))
        return
    for name, found in guesses.items():
        print(f"{name:<18} {', '.join(f'{guess.label} {guess.score:.2f}' for guess in found)}")


def _bench(options: argparse.Namespace) -> None:
    from unocclude.bench import bench

    bench(options.profile, options.device, options.out, options.whole)


def _train(options: argparse.Namespace) -> None:
    with _training_extra():
        from unocclude.training.run import run

    run(options.what, options.config)


@contextmanager
def _training_extra() -> Iterator[None]:
    """Around imports that need what only training and evaluation need."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UnoccludeError(
            f"This needs {error.name}, which is not installed.", "Install it with: pip install 'unocclude[train]'"
        ) from error


def _doctor(options: argparse.Namespace) -> None:
    from unocclude.doctor import examine

    print(examine())
