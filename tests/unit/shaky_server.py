"""A web server on this machine whose connections can be made to fail in the ways that real ones do."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLICE = 1000


class ShakyServer:
    """Serves `files` by name. `misbehave` are taken one per request, in order; after them it behaves.

    "cut": ends after SLICE bytes. "stall": sends SLICE bytes, then nothing. "boast": announces SLICE more than it has.
    "short": announces, and sends, SLICE less. "no_range": sends all whatever was asked for. "busy": answers 503.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.misbehave: list[str] = []
        self.ranges: list[str | None] = []
        self.headers: dict[str, str] = {}
        self.release = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> Callable[..., BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        content = self.files.get(request.path.removeprefix("/"))
        fault = self.misbehave.pop(0) if self.misbehave else ""
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        if content is None:
            return request.send_error(404)
        if fault == "busy":
            return request.send_error(503)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and fault != "no_range" else 0  # type: ignore[index]
        if start and start >= len(content):
            return request.send_error(416)
        body, size = content[start:], len(content)
        if fault == "short":
            body, size = body[:-SLICE], size - SLICE
        if fault == "boast":
            size += SLICE
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(size - start))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body[:SLICE] if fault in ("cut", "stall") else body)
        if fault == "stall":
            request.wfile.flush()
            self.release.wait()
        return None
