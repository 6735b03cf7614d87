"""Gives clicks to the segmenter process and sends back its masks. It never waits for the worker.

The newest click of a client takes the place of an older one that still waits: nobody wants that mask any more.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from unocclude.connection import Connection
from unocclude.errors import UnoccludeError
from unocclude.protocol import Message, ProtocolError, decode, encode, error_from_json, make_error
from unocclude.server.auth import SEGMENTERS, Gate, KeyPair
from unocclude.server.child_process import ChildProcess
from unocclude.server.segmenter import REPORTS
from unocclude.server.sockets import PeerGone, Router

log = logging.getLogger(__name__)

ANSWER_LIMIT = 300.0
"""Seconds for one click. Loading and running the official network for the first time on a CPU takes a minute or two."""
MAX_WAITING = 64


class Click(NamedTuple):
    """`client` is a routing id, `number` its request's."""

    client: bytes
    number: int
    fields: dict[str, Any]


MaskOrError = Message | UnoccludeError
"""The process's report of a mask, or why there is none."""


class SegmentDesk:
    """Polled by the broker: `hear` when `router.socket` is readable, `watch` at each turn of its loop.

    The process starts with the first click, and again with the next one after it died.
    """

    def __init__(
        self,
        home: Path,
        runner: str,
        router: Router,
        gate: Gate,
        server_key: str,
        reply: Callable[[Click, MaskOrError], None],
    ) -> None:
        self.router = router
        self._home = home
        self._runner = runner
        self._gate = gate
        self._server_key = server_key
        self._reply = reply
        self._child: ChildProcess | None = None
        self._waiting: dict[bytes, Click] = {}
        """The newest click of each client, the one that waits longest first."""
        self._at_work: Click | None = None
        self._ticket = 0

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()

    def ask(self, click: Click) -> None:
        """Answer it when its turn comes. Raises UnoccludeError where too many clients wait."""
        outdated = self._waiting.pop(click.client, None)
        if outdated is not None:
            self._reply(outdated, make_error("outdated", "A newer click took the place of this one.", ""))
        elif len(self._waiting) >= MAX_WAITING:
            raise make_error("full", f"{MAX_WAITING} clients wait for masks already.", "Click again a little later.")
        self._waiting[click.client] = click
        if self._child is None:
            self._child = self._start()
        self._hand_over(self._child)

    def hear(self) -> None:
        """Take one report of the process."""
        name, _, frames = self.router.receive()
        child = self._child
        if child is None or name != child.name.encode():
            return  # the last words of one that was replaced
        try:
            report = decode(frames, REPORTS)
        except ProtocolError as error:
            log.error("the segmenter talks nonsense: %s", error)
            child.kill()
            return
        if report.type == "ready":
            child.started()
        elif self._at_work is not None and report.fields["ticket"] == self._ticket:
            child.expect_nothing()
            failure = error_from_json(report.fields["error"]) if report.type == "failed" else None
            self._reply(self._at_work, failure or report)
            self._at_work = None
        self._hand_over(child)

    def watch(self) -> None:
        """Answer for a process that died. The clicks that it was not at work on are tried with the next one."""
        death = self._child.cause_of_death() if self._child is not None else None
        if self._child is None or death is None:
            return
        log.error("the segmenter %s; its last words: %s", death, self._child.last_words())
        error = make_error("worker", f"The segmenter {death}.", "Click again; see segmenter.log in the home folder.")
        lost = [] if self._at_work is None else [self._at_work]
        if not self._child.ready:  # neither would the next one start
            lost += self._waiting.values()
            self._waiting.clear()
        self._child.kill()
        self._child = self._start() if self._waiting else None
        self._at_work = None
        for click in lost:
            self._reply(click, error)

    def _start(self) -> ChildProcess:
        keys = KeyPair.new()
        self._gate.known[SEGMENTERS] = {keys.public}
        connection = Connection(self.router.endpoint, self._server_key, keys.public, keys.secret, os.getpid())
        return ChildProcess("segmenter", self._home, self._runner, connection, self._home / "segmenter.log", {})

    def _hand_over(self, child: ChildProcess) -> None:
        """Give an idle process the click that waits longest."""
        if not child.ready or self._at_work is not None or not self._waiting:
            return
        click = self._waiting.pop(next(iter(self._waiting)))
        self._ticket += 1
        order = {"ticket": self._ticket, **{name: click.fields[name] for name in ("image", "profile", "prompt")}}
        try:
            self.router.send(child.name.encode(), encode("segment", order))
        except PeerGone:
            child.kill()  # the next look at it answers this click
        self._at_work = click
        child.expect_within(ANSWER_LIMIT, f"gave no answer for {ANSWER_LIMIT / 60:g} minutes")
