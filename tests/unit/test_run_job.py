"""Files that came over the wire and are no usable pictures end as an error that a person can act on."""

from __future__ import annotations

import io
import json
import struct
import zlib
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image as PilImage
from unocclude.errors import InputError
from unocclude.pipeline.types import no_progress
from unocclude.protocol import JobSpec, Prompt
from unocclude.server.run_job import run_job
from unocclude.server.uploads import Uploads

SPEC = JobSpec(prompt=Prompt(points=((8, 8),)), device="cpu")


def png(size: tuple[int, int] = (64, 64)) -> bytes:
    file = io.BytesIO()
    PilImage.effect_noise(size, 64).save(file, "PNG")
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A header of that size with hardly any data behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        (b"no picture", None, "image is not a picture"),
        (png()[:300], None, "image is damaged"),
        (png_that_claims(30_000, 30_000), None, "pixels"),
        (png_that_claims(10_001, 10_000), None, "pixels"),
        (png(), png_that_claims(10_001, 10_000), "mask has 10001 x 10000"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", None, "image is not a picture"),
        (b"\x89PNG\r\n\x1a\n" + png()[8:].replace(b"IDAT", b"IDOT"), None, "image is not a picture"),
        (png((1, 1)), None, "1 . 1 pixels"),
        (png(), b"no picture", "mask is not a picture"),
        (png(), png((32, 64)), "mask has"),
    ],
    ids=[
        "no picture",
        "cut off",
        "far too large",
        "too large",
        "too large a mask",
        "a program",
        "no pixels",
        "too small",
        "no mask",
        "mask of another size",
    ],
)
def test_a_bad_picture_is_refused_with_the_cure(tmp_path: Path, image: bytes, mask: bytes | None, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        run_job(SPEC, Uploads(image, mask), tmp_path, tmp_path / "stages", no_progress)
    assert caught.value.cure
    assert list(tmp_path.iterdir()) == []


def test_a_second_job_takes_what_the_first_has_found(tmp_path: Path) -> None:
    sample = resources.files("unocclude") / "bundled"
    x, y = json.loads((sample / "sample.json").read_text())["points"][0]
    spec = JobSpec(prompt=Prompt(points=((x, y),)), device="cpu", to="segment")
    for name, reused in (("first", []), ("second", ["segment"])):
        uploads = Uploads((sample / "sample.png").read_bytes())
        run_job(spec, uploads, tmp_path / name, tmp_path / "stages", no_progress)
        assert json.loads((tmp_path / name / "report.json").read_text())["reused"] == reused


def completion(size: tuple[int, int] = (256, 256), reach: int = 180) -> bytes:
    """An opaque square from the top left corner to `reach`."""
    picture = PilImage.new("RGBA", size)
    picture.paste((200, 30, 40, 255), (0, 0, reach, reach))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_a_given_completion_is_what_goes_on(tmp_path: Path) -> None:
    mask = PilImage.new("L", (64, 64))
    mask.paste(255, (20, 20, 40, 40))
    file = io.BytesIO()
    mask.save(file, "PNG")
    spec = JobSpec(device="cpu", to="complete", samples=4)
    run_job(spec, Uploads(png(), file.getvalue(), completion()), tmp_path / "out", tmp_path / "stages", no_progress)
    assert [path.name for path in sorted((tmp_path / "out").glob("completion_*"))] == ["completion_00.png"]
    kept = PilImage.open(tmp_path / "out" / "completion_00.png")
    assert kept.tobytes() == PilImage.open(io.BytesIO(completion())).tobytes()
    crop = json.loads((tmp_path / "out" / "report.json").read_text())["crop"]
    corner = round(crop["left"] + 180 * crop["side"] / crop["size"])  # the crop begins at 13, its side is 34
    box = PilImage.open(tmp_path / "out" / "amodal_mask.png").getbbox()
    assert box == (crop["left"], crop["top"], max(corner, 40), max(corner, 40))


def test_a_given_completion_lies_in_its_crop(tmp_path: Path) -> None:
    spec = JobSpec(prompt=SPEC.prompt, device="cpu", to="complete", crop=(-3, 5, 40))
    run_job(spec, Uploads(png(), None, completion()), tmp_path / "out", tmp_path / "stages", no_progress)
    crop = json.loads((tmp_path / "out" / "report.json").read_text())["crop"]
    assert (crop["left"], crop["top"], crop["side"]) == (-3, 5, 40)


@pytest.mark.parametrize("crop", [(64, 0, 40), (0, -50, 40), (-600, -600, 1200)])
def test_a_crop_beside_the_image_is_refused(tmp_path: Path, crop: tuple[int, int, int]) -> None:
    spec = JobSpec(prompt=SPEC.prompt, device="cpu", crop=crop)
    with pytest.raises(InputError, match="does not fit"):
        run_job(spec, Uploads(png()), tmp_path, tmp_path / "stages", no_progress)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "choose", "words"),
    [
        (completion((256, 128)), None, "256 x 128"),
        (completion(reach=0), None, "empty"),
        (completion(), 0, "nothing to choose"),
        (b"no picture", None, "not a picture"),
    ],
)
def test_a_bad_completion_is_refused(tmp_path: Path, given: bytes, choose: int | None, words: str) -> None:
    spec = JobSpec(prompt=SPEC.prompt, device="cpu", choose=choose)
    with pytest.raises(InputError, match=words):
        run_job(spec, Uploads(png(), completion=given), tmp_path, tmp_path / "stages", no_progress)
    assert list(tmp_path.iterdir()) == []
