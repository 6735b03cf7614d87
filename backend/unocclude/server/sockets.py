"""The backend's sockets: ROUTERs behind the gate, with every limit set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import zmq

from unocclude.errors import ServerUnavailableError
from unocclude.protocol import MAX_BLOBS, MAX_FRAME
from unocclude.server.auth import Gate, KeyPair


class Received(NamedTuple):
    """`peer` is the sender's routing id, `user` the public key that the gate let in."""

    peer: bytes
    user: str
    frames: list[bytes]


class Router:
    """A bound ROUTER. Peers are named by their routing ids."""

    def __init__(self, context: zmq.Context[Any], gate: Gate, domain: str, keys: KeyPair, endpoint: str) -> None:
        """Raises ServerUnavailableError where the endpoint cannot be bound."""
        self.socket = context.socket(zmq.ROUTER)
        gate.guard(self.socket, domain, keys)
        self.socket.linger = 2000
        self.socket.sndhwm = self.socket.rcvhwm = 16  # messages per peer, and a message may hold a picture
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, 10_000)
        try:
            self.socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.socket.close()
            raise ServerUnavailableError(
                f"{endpoint} cannot be opened ({error}).",
                "Leave --endpoint out, so that the system chooses a free port, or name another one.",
            ) from None
        # Who listens on all addresses is reached from this machine under its own.
        self.endpoint = self.socket.last_endpoint.decode().replace("//0.0.0.0:", "//127.0.0.1:")

    def receive(self) -> Received:
        """The next message; of one with too many frames, one more than is allowed."""
        sender = self.socket.recv()
        user = ""
        frames: list[bytes] = []
        while self.socket.getsockopt(zmq.RCVMORE):
            frame = self.socket.recv(copy=False)
            user = str(frame.get("User-Id"))
            if len(frames) < 2 + MAX_BLOBS:
                frames.append(frame.bytes)
        return Received(sender, user, frames)

    def send(self, peer: bytes, frames: Sequence[bytes]) -> bool:
        """Whether there was room for the message. Raises PeerGone where the peer has left."""
        try:
            self.socket.send_multipart([peer, *frames], zmq.DONTWAIT)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                raise PeerGone from None
            raise
        return True


class PeerGone(Exception):  # noqa: N818  (not a fault: peers come and go)
    """The peer has closed its connection."""
