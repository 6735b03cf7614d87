"""The story by mouse and keyboard, in a window of the real Blender on a display of its own.

Screenshots are left in test-artifacts/window, for people.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from real_blenders import HERE, ROOT, execute
from scripted_backend import STEADY

TOOLS = ("blender", "Xvfb", "xdotool", "import")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"no {', '.join(MISSING)} here: apt-get install blender xvfb xdotool imagemagick"
)
ARTIFACTS = ROOT / "test-artifacts" / "window"
PATIENCE = 180
"""Seconds: software rendering on a busy machine is slow."""


class Window:
    """A Blender window, and a hand on its mouse and keyboard. Positions are pixels from the top left corner."""

    def __init__(self, display: str, told: Path) -> None:
        self._environment = {**os.environ, "DISPLAY": display}
        self._told = told

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

    def click(self, x: float, y: float, modifier: str = "", button: int = 1) -> None:
        self._xdotool("mousemove", str(round(x)), str(round(y)))
        time.sleep(1)
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
        self._xdotool("mousemove", str(round(x)), str(round(y)))
        time.sleep(1)
        self._xdotool("key", key)

    def click_pixel(self, x: int, y: int, modifier: str = "") -> None:
        """The middle of this pixel of the picture, wherever the editor shows it now."""
        self.click(*self.place_of_pixel(x, y), modifier)

    def place_of_pixel(self, x: int, y: int) -> tuple[float, float]:
        (left, bottom), (right, top) = self.state["picture"]
        region_x, region_y, *_ = self.state["regions"]["WINDOW"]
        across, down = (x + 0.5) / WIDTH, (y + 0.5) / HEIGHT
        return (
            region_x + left + across * (right - left),
            self.state["height"] - 1 - (region_y + top + down * (bottom - top)),
        )

    @property
    def pixel_size(self) -> float:
        """Pixels of the screen for one of the picture."""
        (left, _), (right, _) = self.state["picture"]
        return (right - left) / WIDTH

    def sidebar(self, from_right: float, from_top: float) -> tuple[float, float]:
        """A place in the Image Editor's sidebar."""
        x, y, width, height = self.state["regions"]["UI"]
        return x + width - from_right, self.state["height"] - (y + height) + from_top

    def middle(self, rectangle: list[int]) -> tuple[float, float]:
        x, y, width, height = rectangle
        return x + width / 2, self.state["height"] - (y + height / 3)

    def screenshot(self, name: str) -> None:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        time.sleep(3)  # until it is drawn
        subprocess.run(["import", "-window", "root", ARTIFACTS / name], env=self._environment, check=True)

    def _xdotool(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=self._environment, check=True)


WIDTH, HEIGHT = 96, 64


@pytest.fixture
def display() -> Iterator[str]:
    """A screen that nobody sees, with the first number that is free."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x900x24"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


@pytest.fixture
def window(display: str, user: Path, backend: Path, dist: Path, tmp_path: Path) -> Iterator[Window]:
    """The add-on is installed and a picture is open; nothing else has been done."""
    blender = shutil.which("blender")
    settled = execute([blender, "-b", "--factory-startup", "--python", str(HERE / "inside/settle.py"), "--", str(dist)])
    assert settled.returncode == 0, settled.stdout + settled.stderr
    _draw_scene().save(tmp_path / "mug.png")
    script = [str(HERE / "inside/window.py"), "--", str(tmp_path / "mug.png"), str(tmp_path / "told"), str(STEADY)]
    environment = {**os.environ, "DISPLAY": display, "PYTHONPATH": str(HERE / "inside"), "LIBGL_ALWAYS_SOFTWARE": "1"}
    with (tmp_path / "blender.log").open("w") as log:
        process = subprocess.Popen(
            [blender, "--window-geometry", "0", "0", "1600", "900", "--python", *script],
            env=environment,
            stdout=log,
            stderr=log,
        )
    hand = Window(display, tmp_path / "told")
    try:
        hand.wait(lambda state: state)
        yield hand
        assert process.poll() is None, "Blender did not survive: " + (tmp_path / "blender.log").read_text()
    finally:
        process.kill()
        process.wait()


def test_by_mouse_and_keyboard(window: Window) -> None:
    editor = window.middle(window.state["regions"]["WINDOW"])
    window.until(lambda state: state["regions"]["UI"][2] > 1, lambda: window.key("n", *editor))

    def point_at_the_object() -> None:
        window.click(*window.sidebar(13, 245))  # the tab
        time.sleep(1)
        window.click(*window.sidebar(130, 72))  # the button

    window.until(lambda state: state["tool"] == "unocclude.point_tool", point_at_the_object)

    window.until(lambda state: len(state["points"]) == 1, lambda: window.click_pixel(30, 40))
    while window.pixel_size < 3:
        before = window.pixel_size
        window.until(lambda _, before=before: window.pixel_size > before, lambda: window.click(*editor, button=4))
    window.until(lambda state: len(state["points"]) == 2, lambda: window.click_pixel(60, 45, "ctrl"))
    (first_x, first_y, negative), second = window.state["points"]
    assert (abs(first_x - 30) <= 1, abs(first_y - 40) <= 1, negative) == (True, True, False)
    assert second == [60, 45, True]
    window.wait(lambda state: state["mask"])
    assert window.state["mask_error"] is None
    window.screenshot("1-points.png")

    one_point = window.state["mask"]
    window.until(lambda state: len(state["points"]) == 1, lambda: window.key("ctrl+z", *editor))
    window.until(lambda state: len(state["points"]) == 2, lambda: window.key("ctrl+shift+z", *editor))
    window.until(
        lambda state: any(state["box"]),
        lambda: window.drag(window.place_of_pixel(20, 20), window.place_of_pixel(50, 53)),
    )
    left, top, right, bottom = window.state["box"]
    assert max(abs(left - 20), abs(top - 20), abs(right - 51), abs(bottom - 54)) <= 1
    window.wait(lambda state: state["mask"] and state["mask"] > one_point)
    window.screenshot("1-box.png")
    window.until(lambda state: not any(state["box"]), lambda: window.key("ctrl+z", *editor))
    assert len(window.state["points"]) == 2

    window.until(lambda state: state["phase"], lambda: window.click(*window.sidebar(130, 150)))
    window.wait(lambda state: state["phase"] in {"RUNNING", "PLACED", "FAILED"})
    window.screenshot("2-progress.png")
    window.wait(lambda state: state["phase"] in {"PLACED", "FAILED"})
    assert window.state["error"] is None
    assert window.state["bodies"] == ["mug"]
    assert window.state["active"] == "mug"
    assert window.state["textures"] == ["mug base colour"]
    window.wait(lambda state: state["coverage"])
    assert window.state["coverage"] > 0.95

    scene = window.middle(window.state["view_3d"])
    window.until(lambda state: not state["bodies"], lambda: window.key("ctrl+z", *scene))
    assert len(window.state["points"]) == 2, "undo took more than the mesh"
    window.until(lambda state: state["bodies"] == ["mug"], lambda: window.key("ctrl+shift+z", *scene))
    window.key("KP_Decimal", *scene)  # look at what is selected
    window.screenshot("3-mesh.png")
    window.key("KP_0", *scene)
    window.wait(lambda state: state["view"] == "CAMERA")
    window.screenshot("4-camera.png")


def _draw_scene() -> Picture.Image:
    """A mug behind a box, in a few flat colours."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.full((HEIGHT, WIDTH, 3), (150, 170, 190), np.uint8)
    picture[y > 50] = (120, 100, 80)
    picture[(abs(x - 35) < 16) & (y > 18) & (y < 54)] = (200, 60, 50)
    picture[(abs(x - 56) < 14) & (y > 30) & (y < 58)] = (70, 110, 160)
    return Picture.fromarray(picture)
