"""Who may talk to the backend: CURVE keys, and the ZAP handler that lets known keys in and nobody else."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

from unocclude.connection import write_private

log = logging.getLogger(__name__)

CLIENTS = "clients"
WORKERS = "workers"
SEGMENTERS = "segmenters"


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair, each key 40 characters of Z85."""

    public: str
    secret: str

    @classmethod
    def new(cls) -> KeyPair:
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())

    @classmethod
    def at(cls, path: Path) -> KeyPair:
        """The pair in this user-only file; made where there is none."""
        if not path.exists():
            write_private(path, json.dumps(asdict(cls.new())))
        return cls(**json.loads(path.read_text(encoding="utf-8")))


class Gate:
    """The ZAP handler (rfc.zeromq.org/spec/27). The broker polls `socket` and calls `answer`.

    It must be opened before any socket that relies on it is bound. While it does not answer, no handshake
    ends: the sockets set ZAP_ENFORCE_DOMAIN, so there is no way around it.
    """

    def __init__(self, context: zmq.Context[Any]) -> None:
        self.known: dict[str, set[str]] = {}
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")

    def guard(self, socket: zmq.Socket[Any], domain: str, keys: KeyPair) -> None:
        """Make a server socket of this one, open to the known keys of the domain."""
        socket.curve_server = True
        socket.curve_publickey = keys.public.encode()
        socket.curve_secretkey = keys.secret.encode()
        socket.setsockopt(zmq.ZAP_DOMAIN, domain.encode())
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def answer(self) -> None:
        """Judge one connection that waits at the gate."""
        version, request, domain, address, _, mechanism, *credentials = self.socket.recv_multipart()
        key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" and credentials else ""
        welcome = key in self.known.get(domain.decode("utf-8", "replace"), set())
        if not welcome:
            log.warning("refused an unknown key from %s", address.decode("utf-8", "replace"))
        status = [b"200", b"", key.encode()] if welcome else [b"400", b"unknown key", b""]
        self.socket.send_multipart([version, request, *status, b""])
