"""What is written can be read again; what is malformed is refused, and nothing worse happens."""

from __future__ import annotations

import ast
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import unocclude
from unocclude.errors import InputError, ModelsMissingError, UnoccludeError
from unocclude.protocol import (
    ANSWERS,
    MAX_FRAME,
    MAX_HEADER,
    REQUESTS,
    Artifact,
    Event,
    JobInfo,
    JobSpec,
    Prompt,
    ProtocolError,
    decode,
    encode,
    error_from_json,
    error_to_json,
    is_artifact_name,
    make_error,
)

JOB = "0123456789abcdef" * 2
SPEC = JobSpec(
    prompt=Prompt(points=((1.5, 2),), negatives=((3, 4),), box=(0, 0, 9, 9)),
    choose=1,
    crop=(-3, 12, 300),
    elevation=12.5,
    steps=20,
    guidance=1.5,
    seed=5,
    to="views",
)
EVENT = Event(JOB, 3, 1e9, "running", "views", 4, 20, 1.25, 60.0)
INFO = JobInfo(JOB, SPEC, "done", 1e9, 1e9 + 1, 1e9 + 2, 9, 0, True, None, (Artifact("views/000.png", 12, "ab" * 32),))
REQUEST_EXAMPLES = [
    encode("hello", {"id": 1}),
    encode(
        "submit", {"id": 2, "job": JOB, "spec": SPEC.to_json(), "image": "0" * 64, "mask": None, "completion": None}
    ),
    encode("upload", {"id": 2, "picture": "0" * 64, "size": 10, "offset": 5}, [b"image"]),
    encode("follow", {"id": 3, "job": JOB, "after": 7}),
    encode("fetch", {"id": 4, "job": JOB, "name": "views/000.png", "offset": 0, "length": 1024}),
    encode("jobs", {"id": 5, "limit": 10}),
]
ANSWER_EXAMPLES = [
    encode("event", EVENT.to_json(), [b"png"]),
    encode("job", {"re": 1, "info": INFO.to_json()}),
    encode("error", {"re": None, "code": "input", "message": "No.", "cure": "Yes."}),
]


def test_a_spec_survives_the_wire() -> None:
    for spec in (SPEC, JobSpec()):
        assert JobSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_an_event_survives_the_wire() -> None:
    failed = replace(EVENT, state="failed", error=ModelsMissingError("No SAM.", "Get it."), preview=None)
    for event in (replace(EVENT, preview=b"png"), failed):
        message = decode(encode("event", event.to_json(), [event.preview] if event.preview else []), ANSWERS)
        read = Event.from_json(message.fields, message.blobs[0] if message.blobs else None)
        assert replace(read, error=None) == replace(event, error=None)
        assert error_to_json(read.error) == error_to_json(event.error)
        assert type(read.error) is type(event.error)


def test_job_info_survives_the_wire() -> None:
    assert JobInfo.from_json(decode(ANSWER_EXAMPLES[1], ANSWERS).fields["info"]) == INFO


def test_errors_come_back_as_what_they_were() -> None:
    error = error_from_json(error_to_json(InputError("Wrong.", "Right.")))
    assert isinstance(error, InputError)
    assert (error.message, error.cure, error.exit_code) == ("Wrong.", "Right.", 2)
    unheard_of = make_error("unheard_of", "What?", "")
    assert type(unheard_of) is UnoccludeError
    assert unheard_of.code == "unheard_of"
    assert UnoccludeError.code == "internal"
    assert len(error_to_json(InputError("x" * 10**6, ""))["message"]) < 10_000


@pytest.mark.parametrize(
    "change",
    [
        {"samples": 0},
        {"samples": 17},
        {"samples": True},
        {"samples": "4"},
        {"samples": 4.0},
        {"choose": -1},
        {"choose": 4},
        {"crop": [0, 0]},
        {"crop": [0, 0, 15]},
        {"crop": [0.5, 0, 100]},
        {"crop": [0, 0, 10**9]},
        {"crop": "abc"},
        {"crop": 7},
        {"elevation": 91},
        {"elevation": float("inf")},
        {"steps": 0},
        {"steps": 10**30},
        {"guidance": -0.5},
        {"preset": "careless"},
        {"preset": ["fast"]},
        {"seed": -1},
        {"seed": 2**31},
        {"device": "/dev/sda"},
        {"profile": "../bundled"},
        {"profile": "\ud800"},
        {"to": "moon"},
        {"prompt": {"points": [[1, float("nan")]]}},
        {"prompt": {"points": [[1, 2, 3]]}},
        {"prompt": {"points": [[1, 2]] * 65}},
        {"prompt": {"points": 5}},
        {"prompt": {"box": [1, 2]}},
        {"prompt": 5},
        {"weights": "/etc"},
    ],
    ids=str,
)
def test_a_spec_out_of_bounds_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        JobSpec.from_json({**JobSpec().to_json(), **change})
    assert caught.value.cure


@pytest.mark.parametrize("name", ["mesh.glb", "views/015.png", "a/b/c/d.png", "completion_00.png", "con_x.txt"])
def test_artifact_names_that_are_safe(name: str) -> None:
    assert is_artifact_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/../b",
        "/etc/passwd",
        "a//b",
        "a/",
        "C:x",
        "a\\b",
        ".hidden",
        "nul",
        "CON.txt",
        "views/aux",
        "a.",
        "a\n",
        "a b",
        "é",
        "x" * 65,
        "a/b/c/d/e",
        None,
        3,
    ],
)
def test_artifact_names_that_are_not(name: object) -> None:
    assert not is_artifact_name(name)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"\xff"],
        [b"null"],
        [b"{}"],
        [b"[" * 100_000],
        [b'{"v":1,"type":"ping","id":' + b"9" * 5000 + b"}"],
        [b'{"v":1,"type":"ping"}'],
        [b'{"v":1,"type":"ping","id":-1}'],
        [b'{"v":1,"type":"ping","id":true}'],
        [b'{"v":1,"type":"ping","id":1e400}'],
        [b'{"v":1,"type":"ping","id":NaN}'],
        [b'{"v":1,"type":["ping"],"id":1}'],
        [b'{"v":1,"type":"pong","re":1}'],
        [b'{"v":1,"type":"ping","id":1}', b""],
        [b'{"v":1,"type":"submit","id":1,"job":"' + JOB.encode() + b'","spec":{}}'],
        [b'{"v":1,"type":"cancel","id":1,"job":"' + JOB.upper().encode() + b'"}'],
        [b'{"v":1,"type":"ping","id":1}' + b" " * MAX_HEADER],
        [REQUEST_EXAMPLES[1][0], b"a blob too many"],
        [REQUEST_EXAMPLES[2][0]],
        [REQUEST_EXAMPLES[2][0], b"", b"a blob too many"],
        [json.dumps({"v": 1, "type": "upload", "id": 1, "picture": "0" * 64, "size": 0, "offset": 0}).encode(), b""],
        [json.dumps({"v": 1, "type": "upload", "id": 1, "picture": "../x", "size": 1, "offset": 0}).encode(), b""],
    ],
)
def test_malformed_requests_are_refused(frames: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        decode(frames, REQUESTS)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_named_as_such(version: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode([json.dumps({"v": version, "type": "ping", "id": 1}).encode()], REQUESTS)
    assert caught.value.code == "version"


def test_too_much_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ProtocolError):
        encode("submit", {"x": "y" * MAX_HEADER})
    with pytest.raises(ProtocolError):
        encode("submit", {}, [bytes(MAX_FRAME + 1)])


def test_unknown_fields_are_left_for_later_versions() -> None:
    assert decode(encode("ping", {"id": 1, "mood": "good"}), REQUESTS).type == "ping"


@pytest.mark.parametrize(
    ("examples", "shapes"), [(REQUEST_EXAMPLES, REQUESTS), (ANSWER_EXAMPLES, ANSWERS)], ids=["requests", "answers"]
)
def test_damaged_messages_do_no_harm(examples, shapes) -> None:
    rng = random.Random(1)
    refused = 0
    for _ in range(5000):
        frames = [bytearray(frame) for frame in rng.choice(examples)]
        for _ in range(rng.randrange(1, 8)):
            frame = rng.choice(frames)
            place = rng.randrange(len(frame) + 1)
            frame[place : place + rng.randrange(3)] = rng.choice([b"", rng.randbytes(2), b'"', b"{", b"0", b"-", b"e9"])
        try:
            message = decode([bytes(frame) for frame in frames], shapes)
            if message.type == "submit":
                JobSpec.from_json(message.fields["spec"])
            elif message.type == "job":
                JobInfo.from_json(message.fields["info"]) if shapes is ANSWERS else None
            elif message.type == "event":
                Event.from_json(message.fields)
        except (ProtocolError, InputError):
            refused += 1
    assert refused > 2500


def test_the_add_ons_files_are_python_3_10_and_stand_alone() -> None:
    """What Blender's Python must be able to import: the standard library, pyzmq and each other."""
    folder = Path(unocclude.__file__).parent
    seen: set[str] = set()
    waiting = ["launch"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"), feature_version=(3, 10))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                waiting += [] if node.module in seen else [str(node.module)]
            elif isinstance(node, ast.ImportFrom):
                assert _is_allowed(str(node.module)), f"{name}: {node.module}"
            elif isinstance(node, ast.Import):
                assert all(_is_allowed(alias.name) for alias in node.names), name
    assert seen == {"launch", "client", "link", "protocol", "checks", "connection", "errors"}


def _is_allowed(module: str) -> bool:
    import sys

    top = module.partition(".")[0]
    return top == "zmq" or top in sys.stdlib_module_names
