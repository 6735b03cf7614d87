from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from unocclude.errors import InputError
from unocclude.pipeline.view_files import foreground, load_views


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """16 RGBA views of a red disc on transparent."""
    for index in range(16):
        PilImage.fromarray(disc()).save(tmp_path / f"{index:03d}.png")
    return tmp_path


def disc(radius: int = 60) -> np.ndarray:
    rows, columns = np.indices((256, 256))
    rgba = np.zeros((256, 256, 4), np.uint8)
    rgba[(rows - 128) ** 2 + (columns - 128) ** 2 < radius**2] = [200, 30, 30, 255]
    return rgba


def on_white(rgba: np.ndarray) -> np.ndarray:
    return np.where(rgba[..., 3:] > 0, rgba[..., :3], 252).astype(np.uint8)


def test_alpha_is_kept(folder: Path) -> None:
    views, warnings = load_views(folder)
    assert views.rgba.shape == (16, 256, 256, 4)
    np.testing.assert_array_equal(views.rgba[7], disc())
    assert warnings == []


@pytest.mark.parametrize("opaque", ["RGB", "RGBA"])
def test_pictures_on_white_are_cut_out(folder: Path, opaque: str) -> None:
    PilImage.fromarray(on_white(disc())).convert(opaque).save(folder / "004.png")
    alpha = load_views(folder)[0].rgba[4, ..., 3]
    assert ((alpha > 127) != (disc()[..., 3] > 127)).mean() < 0.001


def test_white_spots_are_filled_and_specks_dropped() -> None:
    picture = on_white(disc())
    picture[120:136, 120:136] = 255
    picture[10:14, 10:14] = 0
    np.testing.assert_array_equal(foreground(picture), foreground(on_white(disc())))


def test_missing_views_are_named(folder: Path) -> None:
    (folder / "003.png").unlink()
    (folder / "015.png").unlink()
    with pytest.raises(InputError, match=r"2 of the 16 views: 003\.png, 015\.png"):
        load_views(folder)


def test_four_views_are_too_few(folder: Path) -> None:
    for index in range(4, 16):
        (folder / f"{index:03d}.png").unlink()
    with pytest.raises(InputError, match="lacks 12 of the 16 views"):
        load_views(folder)


def test_a_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        load_views(tmp_path / "nowhere")


def test_wrong_sizes_are_named(folder: Path) -> None:
    PilImage.fromarray(disc()).resize((300, 200)).save(folder / "009.png")
    with pytest.raises(InputError, match=r"009\.png is 300 x 200"):
        load_views(folder)


def test_what_is_no_picture_is_an_input_error(folder: Path) -> None:
    (folder / "002.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"002\.png cannot be read"):
        load_views(folder)


def test_a_cut_off_file_is_an_input_error(folder: Path) -> None:
    path = folder / "002.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"002\.png cannot be read"):
        load_views(folder)


def test_one_white_view_is_a_warning_and_many_are_an_error(folder: Path) -> None:
    white = PilImage.fromarray(np.full((256, 256, 3), 255, np.uint8))
    white.save(folder / "006.png")
    views, warnings = load_views(folder)
    assert len(warnings) == 1
    assert "006.png" in warnings[0]
    assert views.rgba[6, ..., 3].max() == 0
    for index in range(8):
        white.save(folder / f"{index:03d}.png")
    with pytest.raises(InputError, match="8 of the 16 views"):
        load_views(folder)
