"""What the add-on makes of clicks, manifests and paths."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from addon.wire.errors import InputError, ServerUnavailableError

from addon.core.backend import find_python
from addon.core.prompt import Point, pixel_at, place_of, prompt_of
from addon.core.requests import parse, read_manifest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("place", "pixel"),
    [((0.0, 1.0), (0, 0)), ((0.999, 0.001), (639, 479)), ((0.5, 0.5), (320, 240)), ((0.25, 0.75), (160, 120))],
)
def test_image_space_to_pixels(place: tuple[float, float], pixel: tuple[int, int]) -> None:
    assert pixel_at(*place, 640, 480) == pixel


@pytest.mark.parametrize("place", [(-0.01, 0.5), (1.0, 0.5), (0.5, 0.0), (0.5, 1.01)])
def test_beside_the_picture(place: tuple[float, float]) -> None:
    assert pixel_at(*place, 640, 480) is None


def test_a_mark_is_drawn_where_the_click_was() -> None:
    for pixel in [(0, 0), (6, 4), (2, 3)]:
        assert pixel_at(*place_of(*pixel, 7, 5), 7, 5) == pixel


def test_prompt() -> None:
    prompt = prompt_of([Point(1, 2), Point(3, 4, negative=True), Point(5, 6)])
    assert prompt.points == ((1.0, 2.0), (5.0, 6.0))
    assert prompt.negatives == ((3.0, 4.0),)


def test_command_line() -> None:
    line = "--image a/cup.png --point 1 2 --point 3 4 --negative 5 6 --seed 7 --preset fast --out o"
    run = parse(shlex.split(line))
    (request,) = run.requests
    assert (request.name, request.image, run.out) == ("cup", Path("a/cup.png"), Path("o"))
    assert request.spec.prompt.points == ((1.0, 2.0), (3.0, 4.0))
    assert request.spec.prompt.negatives == ((5.0, 6.0),)
    assert (request.spec.seed, request.spec.preset) == (7, "fast")


@pytest.mark.parametrize("line", ["--out o", "a.jsonl --image b.png --out o"])
def test_command_line_without_one_thing_to_do(line: str) -> None:
    with pytest.raises(InputError):
        parse(line.split())


def test_manifest(tmp_path: Path) -> None:
    lines = [
        {"image": "cup.png", "point": [1, 2], "mask": "cup-mask.png"},
        {"image": "other/cup.png", "points": [[3, 4]], "negatives": [[5, 6]], "seed": 9},
        {"image": "/far/can.png", "points": [[1, 1]], "box": [0, 0, 2, 2], "name": "tin"},
    ]
    (tmp_path / "m.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    first, second, third = read_manifest(tmp_path / "m.jsonl")
    assert (first.name, first.image, first.mask) == ("cup", tmp_path / "cup.png", tmp_path / "cup-mask.png")
    assert first.spec.prompt.points == ((1.0, 2.0),)
    assert (second.name, second.spec.seed) == ("cup-2", 9)
    assert (third.name, third.image, third.spec.prompt.box) == ("tin", Path("/far/can.png"), (0, 0, 2, 2))


@pytest.mark.parametrize(
    "line", ["not json", "[]", '{"points": []}', '{"image": "a.png", "sede": 1}', '{"image": "a", "points": [[1]]}', ""]
)
def test_bad_manifest(line: str, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(line)
    with pytest.raises(InputError) as raised:
        read_manifest(tmp_path / "m.jsonl")
    assert raised.value.cure


@pytest.mark.parametrize("name", ["../out", "a/b", "..", ""])
def test_a_name_is_no_way_out_of_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps({"image": "a.png", "points": [[1, 2]], "name": name}))
    with pytest.raises(InputError):
        read_manifest(tmp_path / "m.jsonl")


def test_find_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python = tmp_path / "env" / folder / name
    python.parent.mkdir(parents=True)
    python.touch()
    command = python.with_name("unocclude")
    command.touch(mode=0o755)
    assert find_python(str(tmp_path / "env")) == python
    assert find_python(str(python)) == python
    assert find_python(str(command)) == python
    monkeypatch.setenv("UNOCCLUDE_HOME", str(tmp_path))
    note = tmp_path / "python.txt"
    note.write_text(str(python))
    assert find_python("") == python
    note.unlink()
    monkeypatch.setattr("addon.core.backend.REPOSITORY", tmp_path / "nowhere")
    monkeypatch.setenv("PATH", str(python.parent))
    assert find_python("") == python
    monkeypatch.setenv("PATH", str(tmp_path))
    for chosen in ("", str(tmp_path / "nowhere")):
        with pytest.raises(ServerUnavailableError) as raised:
            find_python(chosen)
        assert raised.value.cure


def test_pyzmq_comes_from_the_wheel_that_fits(tmp_path: Path) -> None:
    python, platform = f"cp{sys.version_info[0]}{sys.version_info[1]}", sysconfig.get_platform()
    here = platform.replace("-", "_").replace(".", "_")
    if platform.startswith("macosx"):
        here = "macosx_10_15_universal2"
    for version, tags in {
        "1": f"cp39-cp39-{here}",
        "2": f"{python}-{python}-other",
        "3": f"{python}-{python}-{here}",
    }.items():
        with zipfile.ZipFile(tmp_path / f"pyzmq-{version}-{tags}.whl", "w") as wheel:
            wheel.writestr("zmq/__init__.py", f"version = {version}")
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path; from addon.core.dependencies import provide_pyzmq\n"
        f"for _ in range(2): provide_pyzmq([Path({str(tmp_path)!r})], Path({str(tmp_path)!r}, 'packages'))\n"
        "import zmq; print(zmq.version)"
    )
    bare = [sys.executable, "-I", "-S", "-c", program]  # without the packages installed here
    assert subprocess.run(bare, check=True, capture_output=True, text=True).stdout.strip() == "3"
    assert len(list((tmp_path / "packages").iterdir())) == 1
