"""A window of the real Blender on a display of its own, and a hand on its mouse and keyboard."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from real_blenders import HERE, execute

MISSING = [tool for tool in ("Xvfb", "xdotool", "import") if shutil.which(tool) is None]
PATIENCE = 180
"""Seconds: software rendering on a busy machine is slow."""


class Window:
    """A Blender window, and a hand on its mouse and keyboard. Positions are pixels from the top left corner."""

    def __init__(self, display: str, told: Path, picture: tuple[int, int], screenshots: Path) -> None:
        self._environment = {**os.environ, "DISPLAY": display}
        self._told = told
        self._picture = picture
        self._screenshots = screenshots

    @property
    def state(self) -> dict[str, Any]:
        """What inside/window.py tells."""
        return json.loads(self._told.read_text()) if self._told.exists() else {}

    def wait(self, condition: Callable[[dict[str, Any]], object], seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not (self._told.exists() and condition(self.state)):
            assert time.monotonic() < deadline, f"waited in vain, state: {self.state}"
            time.sleep(0.1)

    def until(self, condition: Callable[[dict[str, Any]], object], action: Callable[[], None]) -> None:
        """Act again where Blender was too busy to notice."""
        for _ in range(5):
            action()
            try:
                self.wait(condition, PATIENCE / 5)
                return
            except AssertionError:
                continue
        self.wait(condition, 1)

    def focus(self) -> None:
        """There is no window manager that would give the window the keyboard."""
        self._xdotool("search", "--onlyvisible", "--name", "Blender", "windowfocus")

    def take_point_tool(self) -> None:
        """Opens the add-on's panel in the Image Editor's sidebar and presses its first button."""

        def open_sidebar() -> None:
            self.key("n", *self.middle(self.state["regions"]["WINDOW"]))

        self.until(lambda state: state["regions"]["UI"][2] > 1, open_sidebar)

        def point_at_the_object() -> None:
            self.click(*self.sidebar(13, 245))  # the tab
            time.sleep(1)
            self.click(*self.sidebar(130, 72))  # the button

        self.until(lambda state: state["tool"] == "unocclude.point_tool", point_at_the_object)

    def click(self, x: float, y: float, modifier: str = "", button: int = 1) -> None:
        self._move(x, y)
        if modifier:
            self._xdotool("keydown", modifier)
        self._xdotool("click", str(button))
        if modifier:
            time.sleep(0.5)
            self._xdotool("keyup", modifier)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self._xdotool("mousemove", *(str(round(value)) for value in start))
        time.sleep(1)
        self._xdotool("mousedown", "1")
        time.sleep(2)  # a busy Blender asks late where the mouse is
        for share in (0.3, 0.7, 1.0):
            time.sleep(0.3)
            self._xdotool("mousemove", *(str(round(a + share * (b - a))) for a, b in zip(start, end, strict=True)))
        time.sleep(0.5)
        self._xdotool("mouseup", "1")

    def key(self, key: str, x: float, y: float) -> None:
        """With the mouse over this place."""
        self._move(x, y)
        self._xdotool("key", key)

    def _move(self, x: float, y: float) -> None:
        """To this place, and always by some way: Blender asks where the mouse is when it moves."""
        self._xdotool("mousemove", str(round(x) - 3), str(round(y)))
        time.sleep(0.3)
        self._xdotool("mousemove", str(round(x)), str(round(y)))
        time.sleep(1)

    def click_pixel(self, x: int, y: int, modifier: str = "") -> None:
        """The middle of this pixel of the picture, wherever the editor shows it now."""
        self.click(*self.place_of_pixel(x, y), modifier)

    def place_of_pixel(self, x: int, y: int) -> tuple[float, float]:
        (left, bottom), (right, top) = self.state["picture"]
        region_x, region_y, *_ = self.state["regions"]["WINDOW"]
        across, down = (x + 0.5) / self._picture[0], (y + 0.5) / self._picture[1]
        return (
            region_x + left + across * (right - left),
            self.state["height"] - 1 - (region_y + top + down * (bottom - top)),
        )

    @property
    def pixel_size(self) -> float:
        """Pixels of the screen for one of the picture."""
        (left, _), (right, _) = self.state["picture"]
        return (right - left) / self._picture[0]

    def sidebar(self, from_right: float, from_top: float) -> tuple[float, float]:
        """A place in the Image Editor's sidebar."""
        x, y, width, height = self.state["regions"]["UI"]
        return x + width - from_right, self.state["height"] - (y + height) + from_top

    def middle(self, rectangle: list[int]) -> tuple[float, float]:
        x, y, width, height = rectangle
        return x + width / 2, self.state["height"] - (y + height / 3)

    def screenshot(self, name: str) -> None:
        self._screenshots.mkdir(parents=True, exist_ok=True)
        time.sleep(3)  # until it is drawn
        subprocess.run(["import", "-window", "root", self._screenshots / name], env=self._environment, check=True)

    def _xdotool(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=self._environment, check=True)


@dataclass(frozen=True)
class Program:
    """A Blender with a window. `extension`: it takes the extension, not the classic add-on."""

    command: tuple[str, ...]
    extension: bool

    def run(self, scripts: Path, *arguments: object) -> None:
        done = execute([*self.command, *map(str, arguments)], scripts)
        assert done.returncode == 0, done.stdout + done.stderr


def programs() -> list[object]:
    """As parameters of a fixture; one that is not here is skipped, saying how to get it."""
    host, chroot = shutil.which("blender"), Path(os.environ.get("UNOCCLUDE_CHROOT") or "/nowhere")
    inside = (chroot / "usr/bin/blender").exists() and os.path.samefile("/tmp", chroot / "tmp")
    newer = ("chroot", str(chroot), "/usr/bin/blender", "--python-use-system-env")  # for PYTHONPATH
    absent = pytest.mark.skip("no `blender` here: apt-get install blender")
    nowhere = pytest.mark.skip("UNOCCLUDE_CHROOT names no newer Debian with Blender, see blender_chroot.sh")
    return [
        pytest.param(Program((host or "",), False), id="classic", marks=[] if host else absent),
        pytest.param(Program(newer, True), id="extension", marks=[] if inside else nowhere),
    ]


@contextmanager
def open_window(
    dist: Path, picture: Path, folder: Path, screenshots: Path, program: Program, **settings: object
) -> Iterator[Window]:
    """The add-on from `dist` is installed and the picture is open, with these settings of the scene; nothing else has
    been done. `folder` is for what this needs, and has to lie in /tmp, which is all that a chroot shares."""
    scripts = shutil.copytree(HERE / "inside", folder / "inside")
    packages = shutil.copytree(dist, folder / "dist")
    if program.extension:
        (package,) = [path for path in packages.glob("unocclude-*.zip") if "classic" not in path.name]
        program.run(scripts, "--command", "extension", "install-file", "--repo", "user_default", "--enable", package)
        program.run(scripts, "-b", "--python-exit-code", "1", "--python", scripts / "settle.py")
    else:
        settle = ("--python-exit-code", "1", "--python", scripts / "settle.py", "--", packages)
        program.run(scripts, "-b", "--factory-startup", *settle)
    told = folder / "told"
    script = [str(scripts / "window.py"), "--", str(picture), str(told), json.dumps(settings)]
    with _display() as display, (folder / "blender.log").open("w") as log:
        process = subprocess.Popen(
            [*program.command, "--window-geometry", "0", "0", "1600", "900", "--python", *script],
            env={
                **os.environ,
                "DISPLAY": display,
                "PYTHONPATH": str(scripts),
                "LIBGL_ALWAYS_SOFTWARE": "1",
            },
            stdout=log,
            stderr=log,
        )
        hand = Window(display, told, Picture.open(picture).size, screenshots)
        try:
            hand.wait(lambda state: state and state["regions"]["WINDOW"][3] > 300)  # it has its final layout
            hand.focus()
            yield hand
            assert process.poll() is None, "Blender did not survive: " + (folder / "blender.log").read_text()
        finally:
            process.kill()
            process.wait()


@contextmanager
def _display() -> Iterator[str]:
    """A screen that nobody sees, with the first number that is free."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x900x24"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    try:
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()
