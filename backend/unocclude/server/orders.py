"""How a child process of the broker begins and ends: its orders on stdin, its line to the broker.

The orders are one JSON line. Stdin then stays open: when the broker dies the pipe closes, and the child ends with it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from dataclasses import asdict, dataclass
from typing import Any

import zmq

from unocclude.connection import Connection
from unocclude.link import open_dealer


@dataclass(frozen=True)
class Orders:
    """What a new child is told. `name` is its routing id, `runner` the `module:function` that does its work."""

    name: str
    home: str
    runner: str
    connection: Connection

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Orders:
        values = json.loads(line)
        return cls(**{**values, "connection": Connection(**values["connection"])})

    @classmethod
    def take(cls) -> Orders:
        """Read them from stdin, and see to it that this process ends with its broker."""
        orders = cls.from_line(sys.stdin.buffer.readline())
        threading.Thread(target=_end_with_broker, daemon=True).start()
        return orders

    def load_runner(self) -> Any:
        module, _, name = self.runner.partition(":")
        return getattr(importlib.import_module(module), name)

    def connect(self, name: str | None = None) -> zmq.Socket[Any]:
        """The child's line to its broker, or a further one under another name."""
        socket = open_dealer(zmq.Context.instance(), self.connection)
        socket.routing_id = (name or self.name).encode()
        socket.connect(self.connection.endpoint)
        return socket


def _end_with_broker() -> None:
    """Wait for the end of stdin, then end this process whatever it is doing."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)
