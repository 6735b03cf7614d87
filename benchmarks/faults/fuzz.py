"""Throw broken messages at the decoder and at a running broker.

    python benchmarks/faults/fuzz.py --frames 1000000 --sent 20000 --seed 0

The decoder may answer with a message or a ProtocolError, nothing else. The broker must answer every message, live on,
and not grow. Messages are good ones with something wrong: fields of other types and sizes, bytes flipped, cut or
doubled, frames too many or too few; and sheer noise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import zmq

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests" / "faults")]

from backend_process import Backend  # noqa: E402
from processes import memory  # noqa: E402
from unocclude.connection import Connection  # noqa: E402
from unocclude.link import open_dealer  # noqa: E402
from unocclude.protocol import ANSWERS, REQUESTS, JobSpec, Message, ProtocolError, decode  # noqa: E402
from unocclude.server.segmenter import REPORTS as MASKS  # noqa: E402
from unocclude.server.worker import REPORTS  # noqa: E402

SHAPES = {"requests": REQUESTS, "answers": ANSWERS, "reports": REPORTS, "masks": MASKS}
PICTURE = b"blob"
JOB, DIGEST = "0" * 32, hashlib.sha256(PICTURE).hexdigest()
GOOD: dict[str, Any] = {
    **{"id": 1, "re": 1, "job": JOB, "after": 0, "limit": 10, "name": "views/000.png", "offset": 0, "length": 100},
    **{"spec": JobSpec().to_json(), "image": DIGEST, "profile": "bundled", "prompt": {"points": [[1, 2]]}, "seq": 1},
    **{
        "server": "x",
        "capabilities": [],
        "limits": {},
        "new": True,
        "state": "done",
        "info": {},
        "jobs": [],
        "size": len(PICTURE),
    },
    **{"sha256": DIGEST, "rating": 0.5, "pid": 1, "uptime": 1.0, "queued": 0, "workers": []},
    **{"picture": DIGEST, "have": 0, "mask": None, "completion": None},
    **{"code": "internal", "message": "m", "cure": "c", "time": 1.0, "stage": "views", "step": 1, "total": 2},
    **{"elapsed": 1.0, "eta": None, "error": None, "artifacts": [], "ticket": 1},
}
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        10**400,
        -(10**400),
        0.5,
        1e308,
        -1e308,
        "",
        "a",
        "\ud800",
        "\0",
    ),
    *(
        "../../etc/passwd",
        "con",
        "a" * 5000,
        "é" * 100,
        [],
        {},
        [[]],
        [None] * 100,
        {"a": {"a": {"a": []}}},
        [[1, 2]] * 65,
    ),
    *({"points": [[None, 1]]}, {"points": "x"}, {"box": [1]}, {"seed": -1}, {"samples": True}, {"unknown": 1}, [1e400]),
]


class Fuzzer:
    """Seeded; what it makes from a seed is the same everywhere."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def frames(self, group: str) -> list[bytes]:
        rng = self.random
        if rng.random() < 0.1:
            return [rng.randbytes(rng.randrange(200)) for _ in range(rng.randrange(1, 5))]
        kind = rng.choice(list(SHAPES[group]))
        header: dict[str, Any] = {"v": 1, "type": kind}
        header |= {name: GOOD.get(name) for name in SHAPES[group][kind].fields}
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            self.spoil(header)
        data = bytearray(json.dumps(header).encode())
        if rng.random() < 0.3:
            self._garble(data)
        blobs = rng.randint(*SHAPES[group][kind].blobs) if rng.random() < 0.8 else rng.randrange(6)
        return [bytes(data), *(rng.choice((PICTURE, rng.randbytes(rng.randrange(40)))) for _ in range(blobs))]

    def spoil(self, values: dict[str, Any]) -> None:
        """Make something wrong in these fields."""
        rng = self.random
        name = rng.choice(list(values))
        if isinstance(values[name], dict) and values[name] and rng.random() < 0.7:
            values[name] = dict(values[name])
            self.spoil(values[name])
        elif rng.random() < 0.15:
            del values[name]
            values.setdefault("type", "ping")
        else:
            values[name] = rng.choice(ODD)

    def _garble(self, data: bytearray) -> None:
        rng = self.random
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(data)) if data else 0
            match rng.randrange(4):
                case 0:
                    data[place : place + 1] = rng.randbytes(1)
                case 1:
                    del data[place:]
                case 2:
                    data[place:place] = data[place : place + 30]
                case 3:
                    data[place:place] = rng.choice((b"NaN", b"1e999", b"[" * 2000, b'{"a":', b"\xff\xfe", b"\\u0000"))


def fuzz_decoder(count: int, seed: int) -> Counter[str]:
    """Raises whatever the decoder raises that it may not."""
    fuzzer, outcome = Fuzzer(seed), Counter[str]()
    groups = list(SHAPES)
    frames_seen = number = 0
    while frames_seen < count:
        group = groups[number % len(groups)]
        frames = fuzzer.frames(group)
        try:
            assert isinstance(decode(frames, SHAPES[group]), Message)
            outcome["taken"] += 1
        except ProtocolError:
            outcome["refused"] += 1
        frames_seen += len(frames)
        number += 1
    outcome["frames"] = frames_seen
    return outcome


def fuzz_broker(count: int, seed: int) -> Counter[str]:
    """Raises AssertionError where the broker does not answer, or answers nonsense."""
    fuzzer, outcome = Fuzzer(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as home:
        backend = Backend(Path(home)).start()
        assert backend.process is not None
        connection = Connection.load(backend.home)
        with zmq.Context() as context, open_dealer(context, connection) as socket:
            socket.connect(connection.endpoint)
            for number in range(count):
                frames = fuzzer.frames("requests")
                if b'"stop"' in frames[0]:
                    continue
                socket.send_multipart(frames)
                answer = None
                while answer is None or answer.type == "event":
                    assert socket.poll(60_000), frames
                    answer = decode(socket.recv_multipart(), ANSWERS)
                code = answer.fields.get("code")
                assert code not in ("internal", "storage"), (frames, answer.fields["message"])
                outcome[answer.type if code is None else f"error {code}"] += 1
                if number == count // 5:
                    outcome["KiB after a fifth"] = memory(backend.process.pid)
        outcome["KiB at the end"] = memory(backend.process.pid)
        with backend.client() as client:
            client.ping()
        backend.stop()
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100_000, help="for the decoder")
    parser.add_argument("--sent", type=int, default=5_000, help="messages for the broker")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name, fuzz, count in (("decoder", fuzz_decoder, options.frames), ("broker", fuzz_broker, options.sent)):
        began, before = time.monotonic(), memory()
        outcome = fuzz(count, options.seed)
        print(f"{name}: {dict(sorted(outcome.items()))}")
        print(
            f"{name}: no crash; {time.monotonic() - began:.0f} s; this process {before} to {memory()} KiB", flush=True
        )


if __name__ == "__main__":
    main()
