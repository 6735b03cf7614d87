"""Small wheels in place of torch and the like, and a package index on this machine that fails on demand."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import threading
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TORCH = """
class version:
    cuda = hip = None


def zeros(count):
    return [0.0] * count
"""
"""Enough of torch to pass the installer's check."""
ROOT = Path(__file__).resolve().parents[2]


def pinned_packages() -> dict[str, str]:
    """What the backend needs, version by package: the pinned one, else the oldest that will do."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = (ROOT / "backend" / "unocclude" / "constraints.txt").read_text().replace("_", "-").splitlines()
    versions = dict(line.split("==") for line in pins if "==" in line)
    return {name: versions.get(name, oldest) for name, oldest in (need.split(">=") for need in needs)}


PINNED = pinned_packages()


def write_wheel(folder: Path, name: str, version: str, files: Mapping[str, str], requires: Sequence[str] = ()) -> Path:
    """A pure Python wheel (PEP 427) of these files."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    contents = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = io.StringIO()
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        csv.writer(record).writerow([path, f"sha256={digest}", len(text)])
    csv.writer(record).writerow([f"{info}/RECORD", "", ""])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**contents, f"{info}/RECORD": record.getvalue()}.items():
            archive.writestr(path, text)
    return wheel


def write_packages(folder: Path) -> Path:
    """All that the backend may ask for."""
    for name, version in PINNED.items():
        module = name.replace("-", "_")
        write_wheel(folder, module, version, {f"{module}/__init__.py": TORCH if name == "torch" else ""})
    return folder


def write_backend(folder: Path, version: str = "0.1.0") -> Path:
    return write_wheel(
        folder, "unocclude", version, {"unocclude/__init__.py": ""}, requires=["torch", "torchvision", "pyzmq"]
    )


class Index:
    """What the index did, and how it is to fail: by file name, one of `reset`, `cut`, `wrong`, `missing`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fetched: list[str] = []
        self.faults: dict[str, str] = {}


@contextmanager
def serve(packages: Path) -> Iterator[Index]:
    """A package index (PEP 503) of the wheels in a folder."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").rpartition("/")[2]
            if not name.endswith(".whl"):
                wheels = sorted(packages.glob(f"{name.replace('-', '_')}-*.whl"))
                links = (f'<a href="/{w.name}#sha256={_sha256(w)}">{w.name}</a>' for w in wheels)
                self._answer(200 if wheels else 404, "text/html", "".join(links).encode())
                return
            index.fetched.append(name)
            fault = index.faults.get(name)
            data = (packages / name).read_bytes()
            if fault == "reset":
                self.connection.close()
            elif fault == "cut":
                self._answer(200, "application/zip", data[: len(data) // 2], promised=len(data))
            elif fault == "wrong":
                self._answer(200, "application/zip", b"x" * len(data))
            elif fault == "missing":
                self._answer(404, "text/plain", b"gone")
            else:
                self._answer(200, "application/zip", data)

        def _answer(self, code: int, kind: str, body: bytes, promised: int = 0) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(promised or len(body)))
            self.send_header("Cache-Control", "max-age=3600" if kind == "application/zip" else "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index = Index(f"http://127.0.0.1:{server.server_port}/simple")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
