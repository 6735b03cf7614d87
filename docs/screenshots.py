"""Take the guide's screenshots: the sample picture, the real backend, Blender by mouse and keyboard.

    python docs/screenshots.py

needs what tests/blender/test_window.py needs, and leaves docs/images.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from unocclude.client import Client
from unocclude.launch import start_backend

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "blender"))

from real_window import Program, Window, open_window  # noqa: E402

SAMPLE = ROOT / "backend" / "unocclude" / "bundled" / "sample.png"
IMAGES = ROOT / "docs" / "images"
CLASSIC = Program(("blender",), extension=False)


def main() -> None:
    subprocess.run([sys.executable, str(ROOT / "addon" / "build.py")], check=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "backend"
        names = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "BLENDER_USER_RESOURCES")
        os.environ.update(dict.fromkeys(names, folder), UNOCCLUDE_HOME=str(home))
        start_backend(sys.executable, home, wait=180)
        try:
            with open_window(
                ROOT / "dist", SAMPLE, Path(folder), IMAGES, CLASSIC, preset="fast", review=True, samples=4
            ) as window:
                story(window)
        finally:
            with Client(home, patience=0) as client:
                client.stop()
    for picture in IMAGES.glob("*.png"):
        subprocess.run(["mogrify", "-resize", "1200x", "-colors", "192", str(picture)], check=True)


def story(window: Window) -> None:
    window.take_point_tool()
    make_room(window)
    clicks = [(place, "") for place in json.loads(SAMPLE.with_suffix(".json").read_text())["points"]]
    clicks.append(((350, 300), "ctrl"))  # on the mug, where the sidebar does not cover it
    for number, ((x, y), modifier) in enumerate(clicks, 1):
        window.until(
            lambda state, number=number: len(state["points"]) == number,
            lambda x=x, y=y, modifier=modifier: window.click_pixel(x, y, modifier),
        )
    window.wait(lambda state: state["mask"])
    window.screenshot("point.png")

    window.until(lambda state: state["tool"] == "unocclude.brush_tool", lambda: window.click(*window.sidebar(80, 72)))
    stroke = window.place_of_pixel(300, 234), window.place_of_pixel(312, 222)
    pointed = window.state["mask"]
    window.until(lambda state: state["strokes"] == 1, lambda: window.drag(*stroke))
    window.wait(lambda state: state["mask"] and state["mask"] != pointed)
    window.screenshot("brush.png")
    editor = window.middle(window.state["regions"]["WINDOW"])
    window.until(lambda state: state["strokes"] == 0, lambda: window.key("ctrl+z", *editor))
    window.until(lambda state: state["tool"] == "unocclude.point_tool", lambda: window.click(*window.sidebar(180, 72)))

    window.until(lambda state: state["phase"], lambda: window.click(*window.sidebar(130, 150)))
    window.wait(lambda state: state["phase"] in {"CHOOSING", "FAILED"}, 400)
    window.screenshot("choose.png")
    window.until(lambda state: state["phase"] != "CHOOSING", lambda: window.click(*window.sidebar(230, 349)))
    window.wait(lambda state: state["phase"] == "RUNNING" and state["preview"], 100)
    window.screenshot("progress.png")
    window.wait(lambda state: state["phase"] in {"PLACED", "FAILED"}, 900)
    scene = window.middle(window.state["view_3d"])
    window.until(lambda state: state["view"] == "CAMERA", lambda: window.key("KP_0", *scene))
    window.screenshot("stages.png")


def make_room(window: Window) -> None:
    """A wider editor, and in it a wider sidebar, so that the picture and the gallery can be looked at."""
    editor, _, _, height = window.state["regions"]["WINDOW"]
    window.until(
        lambda state: state["regions"]["WINDOW"][0] < editor - 100,
        lambda: window.drag((editor - 1, height / 2), (editor - 201, height / 2)),
    )
    sidebar, top = window.sidebar(window.state["regions"]["UI"][2], 100)
    window.until(
        lambda state: state["regions"]["UI"][2] > 300, lambda: window.drag((sidebar + 8, top), (sidebar - 90, top))
    )


if __name__ == "__main__":
    main()
