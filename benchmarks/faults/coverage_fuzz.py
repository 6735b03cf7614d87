"""Search for messages that break the decoder or the broker, led by which lines of code they reach.

    pip install '.[dev]'                                   # brings atheris, on Linux
    python benchmarks/faults/coverage_fuzz.py --frames 1000000 --seed 0

Where `fuzz.py` makes its messages by rule, libFuzzer breeds them here: what reaches new code is changed further. The
broker is a real one with a real store, in this process and without its sockets and children. It must answer every
message with one that a client understands, and never with `internal` or `storage`. The first breach ends the run with
the message that did it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import atheris

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests" / "faults")]

with atheris.instrument_imports(include=["unocclude"]):
    from unocclude.errors import InputError
    from unocclude.protocol import ANSWERS, REQUESTS, Event, JobInfo, JobSpec, ProtocolError, ServerStatus, decode
    from unocclude.server import segmenter, worker
    from unocclude.server.broker import Broker
    from unocclude.server.commands import DEFAULT_ENDPOINT
    from unocclude.server.rates import RateLimit
    from unocclude.server.retention import Limits
    from unocclude.server.sockets import Received

from fuzz import GOOD, PICTURE, Fuzzer  # noqa: E402
from processes import memory  # noqa: E402
from unocclude.protocol import encode  # noqa: E402

BETWEEN_FRAMES = b"\xfe\xfe"
"""In libFuzzer's inputs; no JSON in UTF-8 has it. Their first byte chooses the reader."""
LONGEST = 4096
READERS = ("broker", "answers", "reports", "masks")


class Line:
    """In the place of the broker's socket: one message in, and what is sent back."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.message: list[bytes] = []
        self.sent: list[list[bytes]] = []

    def receive(self) -> Received:
        return Received(b"client", self.user, self.message)

    def send(self, peer: bytes, frames: list[bytes]) -> bool:
        self.sent.append(frames)
        return True


class Reader:
    """Gives each input to what its first byte names. Raises whatever must not happen."""

    def __init__(self, home: Path, frames: int) -> None:
        self._broker = Broker(home, DEFAULT_ENDPOINT, "", "", Limits())
        self._line = Line(self._broker._clients.own.public)
        broker: Any = self._broker
        broker._front = self._line
        broker._rate = RateLimit(1e12, 1e12)
        broker._desk.ask = lambda click: broker._send(
            click.client, encode("mask", {"re": click.number, "rating": None})
        )
        self._goal = frames
        self._began = time.monotonic()
        self._memory_early = 0
        self.messages = self.frames = 0
        self.outcome: Counter[str] = Counter()

    def read(self, data: bytes) -> None:
        reader = READERS[data[0] % len(READERS)] if data else "broker"
        frames = data[1:].split(BETWEEN_FRAMES)
        self.outcome[self._ask(frames) if reader == "broker" else self._decode(reader, frames)] += 1
        self.messages += 1
        self.frames += len(frames)
        if self.frames > self._goal // 5 and not self._memory_early:
            self._memory_early = memory()
        if self.frames >= self._goal:
            self._report()

    def _ask(self, frames: list[bytes]) -> str:
        self._line.message = frames
        self._line.sent.clear()
        self._broker._hear()
        (reply,) = self._line.sent
        answer = decode(reply, ANSWERS)
        if answer.type != "error":
            return f"broker: {answer.type}"
        assert answer.fields["code"] not in ("internal", "storage"), answer.fields["message"]
        return f"broker: error {answer.fields['code']}"

    def _decode(self, reader: str, frames: list[bytes]) -> str:
        shapes = {"answers": ANSWERS, "reports": worker.REPORTS, "masks": segmenter.REPORTS}[reader]
        try:
            message = decode(frames, shapes)
            match message.type:
                case "event":
                    Event.from_json(message.fields)
                case "job":
                    JobInfo.from_json(message.fields["info"])
                case "status" if reader == "answers":
                    ServerStatus.from_json(message.fields)
        except (ProtocolError, InputError):
            return f"{reader}: refused"
        return f"{reader}: taken"

    def _report(self) -> NoReturn:
        for outcome, count in sorted(self.outcome.items()):
            print(f"{outcome:<28}{count}")
        print(f"{'frames':<28}{self.frames} in {self.messages} messages, {time.monotonic() - self._began:.0f} s")
        print(f"{'memory':<28}{self._memory_early} KiB after a fifth, {memory()} KiB at the end")
        print("no breach", flush=True)
        os._exit(0)  # libFuzzer would go on for ever


def mutate(data: bytes, longest: int, seed: int) -> bytes:
    """Now and then by bytes, mostly by fields, so that the header stays JSON."""
    header, *others = data[1:].split(BETWEEN_FRAMES)
    fuzzer = Fuzzer(seed)
    with suppress(ValueError, RecursionError):
        fields = json.loads(header)
        if isinstance(fields, dict) and fields and fuzzer.random.random() < 0.8:
            fuzzer.spoil(fields)
            return (data[:1] + BETWEEN_FRAMES.join([json.dumps(fields).encode(), *others]))[:longest]
    return atheris.Mutate(data, longest)


def write_seeds(folder: Path) -> None:
    """A good message of each kind, to begin with."""
    groups = (REQUESTS, ANSWERS, worker.REPORTS, segmenter.REPORTS)
    specials = {"info": JobInfo("0" * 32, JobSpec(), "done", 1.0, 1.0, 2.0, 3, 0, False, None, ()).to_json()}
    for number, shapes in enumerate(groups):
        for kind, shape in shapes.items():
            fields = {name: {**GOOD, **specials}.get(name) for name in shape.fields}
            frames = encode(kind, fields, [PICTURE] * shape.blobs[1])
            (folder / f"{number}-{kind}").write_bytes(bytes([number]) + BETWEEN_FRAMES.join(frames))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        home, seeds = Path(folder) / "home", Path(folder) / "seeds"
        home.mkdir()
        seeds.mkdir()
        write_seeds(seeds)
        reader = Reader(home, options.frames)
        # Seed 0 would mean a random one to libFuzzer.
        command = [sys.argv[0], f"-seed={options.seed + 1}", f"-max_len={LONGEST}", str(seeds)]
        atheris.Setup(command, reader.read, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
