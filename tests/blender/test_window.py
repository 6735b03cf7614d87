"""The story by mouse and keyboard, in a window of the real Blender on a display of its own.

Screenshots are left in test-artifacts/window, for people.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from real_blenders import ROOT
from real_window import MISSING, Window, open_window, programs
from scripted_backend import STEADY

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"no {', '.join(MISSING)} here: apt-get install xvfb xdotool imagemagick"
)
WIDTH, HEIGHT = 96, 64


@pytest.fixture(params=programs())
def window(request: pytest.FixtureRequest, user: Path, backend: Path, dist: Path, tmp_path: Path) -> Iterator[Window]:
    picture = tmp_path / "mug.png"
    _draw_scene().save(picture)
    screenshots = ROOT / "test-artifacts" / "window" / request.node.callspec.id
    with open_window(dist, picture, tmp_path, screenshots, request.param, seed=STEADY) as hand:
        yield hand


def test_by_mouse_and_keyboard(window: Window) -> None:
    window.take_point_tool()
    editor = window.middle(window.state["regions"]["WINDOW"])

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

    window.until(lambda state: state["tool"] == "unocclude.brush_tool", lambda: window.click(*window.sidebar(80, 72)))
    window.until(
        lambda state: state["strokes"] == 1,
        lambda: window.drag(window.place_of_pixel(22, 30), window.place_of_pixel(40, 30)),
    )
    window.wait(lambda state: state["mask"] and state["mask"] > one_point)
    window.screenshot("1-brush.png")
    window.until(lambda state: state["strokes"] == 0, lambda: window.key("ctrl+z", *editor))
    window.until(lambda state: state["tool"] == "unocclude.point_tool", lambda: window.click(*window.sidebar(180, 72)))
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
    window.until(lambda state: state["view"] == "CAMERA", lambda: window.key("KP_0", *scene))
    window.screenshot("4-camera.png")


def _draw_scene() -> Picture.Image:
    """A mug behind a box, in a few flat colours."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.full((HEIGHT, WIDTH, 3), (150, 170, 190), np.uint8)
    picture[y > 50] = (120, 100, 80)
    picture[(abs(x - 35) < 16) & (y > 18) & (y < 54)] = (200, 60, 50)
    picture[(abs(x - 56) < 14) & (y > 30) & (y < 58)] = (70, 110, 160)
    return Picture.fromarray(picture)
