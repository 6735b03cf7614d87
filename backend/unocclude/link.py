"""One connection to the backend, and what becomes of it. Needs pyzmq and the standard library only."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from .connection import START_IT, Connection
from .errors import ServerUnavailableError, UnoccludeError
from .protocol import ANSWERS, MAX_FRAME, Message, decode

HEARTBEAT = 2000
"""Milliseconds between ZeroMQ's heartbeats."""
DEAD_AFTER = 10_000
"""Milliseconds without a sign of life after which either side drops the connection."""

_HANDSHAKE_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


def open_dealer(context: zmq.Context[Any], connection: Connection) -> zmq.Socket[Any]:
    """A DEALER that connects to the backend, encrypted, and never holds its process up."""
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.immediate = True  # nothing piles up for a backend that is not there
    socket.sndhwm = socket.rcvhwm = 64
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 10_000)
    socket.curve_serverkey = connection.server_key.encode()
    socket.curve_publickey = connection.public_key.encode()
    socket.curve_secretkey = connection.secret_key.encode()
    return socket


class LinkLost(Exception):  # noqa: N818  (the client turns it into an error, or tries again)
    """The connection could not be made, or broke. `reason` is what to say where nobody tries again."""

    def __init__(self, reason: UnoccludeError, for_good: bool = False) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.for_good = for_good


class Link:
    """One socket and the monitor that tells what becomes of it."""

    def __init__(self, context: zmq.Context[Any], connection: Connection, endpoint: str) -> None:
        self.endpoint = endpoint
        self._socket = open_dealer(context, connection)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, DEAD_AFTER)
        self._socket.setsockopt(zmq.HEARTBEAT_TTL, DEAD_AFTER)
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_DISCONNECTED | _HANDSHAKE_FAILED
        )
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ServerUnavailableError(
                f"{endpoint!r} is not an address ({error}).", "Write it as tcp://127.0.0.1:PORT."
            ) from None

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def shake_hands(self, deadline: float) -> None:
        """Wait until both sides know each other. Raises LinkLost where they do not get to it."""
        happened: int = zmq.EVENT_CONNECT_RETRIED
        if self._monitor.poll(_milliseconds(deadline)):
            happened = recv_monitor_message(self._monitor)["event"]
        if happened == zmq.EVENT_CONNECT_RETRIED:
            raise LinkLost(ServerUnavailableError(f"No backend answers at {self.endpoint}.", START_IT))
        if happened != zmq.EVENT_HANDSHAKE_SUCCEEDED:
            reason = ServerUnavailableError(
                f"The backend at {self.endpoint} did not accept this client's key.",
                "Stop the backend and start it again, so that it writes a new connection file.",
            )
            raise LinkLost(reason, for_good=happened == zmq.EVENT_HANDSHAKE_FAILED_AUTH)

    def send(self, frames: list[bytes], deadline: float) -> None:
        ready = self._poll(zmq.POLLOUT, deadline)
        if self._socket not in ready:
            raise self._gone()
        self._socket.send_multipart(frames)

    def try_send(self, frames: list[bytes]) -> None:
        """Send where that needs no waiting."""
        with suppress(zmq.Again):
            self._socket.send_multipart(frames, zmq.DONTWAIT)

    def receive(self, deadline: float) -> Message | None:
        """The next message, or None where none comes before the deadline (a monotonic time)."""
        if self._socket not in self._poll(zmq.POLLIN, deadline):
            return None
        return decode(self._socket.recv_multipart(), ANSWERS)

    def _poll(self, direction: int, deadline: float) -> dict[Any, int]:
        """What is ready. Raises LinkLost where the connection broke and nothing is left to read."""
        self._poller.modify(self._socket, direction)
        ready = dict(self._poller.poll(_milliseconds(deadline)))
        if self._monitor in ready and (self._socket not in ready or direction == zmq.POLLOUT):
            raise self._gone()  # after the handshake, all that the monitor tells is its end
        return ready

    def _gone(self) -> LinkLost:
        return LinkLost(ServerUnavailableError(f"The backend at {self.endpoint} has gone.", START_IT))


def _milliseconds(deadline: float) -> int:
    return max(0, int(1000 * (deadline - time.monotonic())))
