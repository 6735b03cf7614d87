"""From imagined pictures to a completion that keeps the photograph, and to the amodal mask."""

from __future__ import annotations

import numpy as np
import pytest
from unocclude.errors import InputError
from unocclude.pipeline import complete as frames
from unocclude.pipeline.complete import amodal_mask, complete, most_agreed
from unocclude.pipeline.completion_samples import _with_photograph, _without_rims, _without_specks
from unocclude.pipeline.crop import crop_around, cut, cut_mask, uncut
from unocclude.pipeline.types import Completion, Completions, Crop


def square(size: int, low: int, high: int) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[low:high, low:high] = True
    return mask


def picture(mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.dstack([np.broadcast_to(np.uint8(colour), (*mask.shape, 3)), 255 * mask.astype(np.uint8)])


def test_the_crop_holds_the_visible_part_with_room_around() -> None:
    mask = square(300, 100, 160)
    crop = crop_around(mask)
    assert crop.side == round(60 * 1.7)
    assert abs(crop.left + crop.side / 2 - 130) <= 1
    assert cut_mask(mask, crop).mean() == pytest.approx(1 / 1.7**2, rel=0.05)


def test_an_empty_mask_has_no_crop() -> None:
    with pytest.raises(InputError, match="empty"):
        crop_around(np.zeros((20, 20), bool))


def test_a_crop_beyond_the_image_comes_back_to_it() -> None:
    mask = square(100, 0, 50)
    crop = Crop(-30, -30, 110, 256)
    assert cut(np.zeros((100, 100, 3), np.uint8), crop).shape == (256, 256, 3)
    back = uncut(255 * cut_mask(mask, crop).astype(np.uint8), crop, mask.shape) > 127
    assert (back & mask).sum() / (back | mask).sum() > 0.98


class Seer:
    """Sees of a true object what lies in the frame; all samples but the first see only `others` of it."""

    def __init__(self, whole: np.ndarray, others: np.ndarray | None = None) -> None:
        self.whole, self.others = whole, whole if others is None else others
        self.attempts: list[tuple[Crop, int, int]] = []

    def __call__(
        self, image: object, visible: object, crop: Crop, model: object, *, samples: int, first: int, **rest: object
    ) -> list[Completion]:
        self.attempts.append((crop, first, samples))
        seen = [self.others if k else self.whole for k in range(first, first + samples)]
        return [Completion(picture(cut_mask(mask, crop), (9, 9, 9))) for mask in seen]

    def complete(self, visible: np.ndarray, crop: Crop | None = None, samples: int = 3) -> Completions:
        image = np.zeros((*visible.shape, 3), np.uint8)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(frames, "sample_completions", self)
            return complete(image, visible, crop, None, samples=samples, steps=4, guidance=1, seed=0)  # type: ignore[arg-type]


def test_what_fits_the_first_frame_is_imagined_once() -> None:
    seer = Seer(square(400, 150, 250))
    made = seer.complete(square(400, 160, 240))
    assert seer.attempts == [(made.crop, 0, 1), (made.crop, 1, 2)]
    assert made.crop == crop_around(square(400, 160, 240))
    assert len(made.samples) == 3


def test_what_runs_out_of_the_frame_gets_a_larger_one() -> None:
    visible, whole = square(400, 180, 220), square(400, 180, 220)
    whole[180:220, 180:270] = True
    seer = Seer(whole)
    made = seer.complete(visible)
    assert np.array_equal(amodal_mask(made.samples, visible, made.crop) & ~whole, np.zeros_like(whole))
    assert amodal_mask(made.samples, visible, made.crop).sum() > 0.95 * whole.sum()
    assert made.crop.left <= 180
    assert made.crop.left + made.crop.side > 270
    assert all(crop == made.crop for crop, first, _ in seer.attempts if first), "all samples in the last frame"
    assert Seer(whole).complete(visible, samples=1).crop == made.crop


def test_only_the_first_sample_decides_on_the_frame() -> None:
    visible = square(400, 180, 220)
    assert Seer(visible, others=square(400, 50, 350)).complete(visible).crop == crop_around(visible)


def test_attempts_come_to_an_end() -> None:
    seer = Seer(np.ones((2000, 2000), bool))
    seer.complete(square(2000, 990, 1010), samples=1)
    assert len(seer.attempts) == frames.ATTEMPTS


def test_at_the_border_of_the_image_there_is_nothing_to_look_for() -> None:
    visible = square(400, 0, 400)
    visible[:, 200:] = False
    seer = Seer(np.ones((400, 400), bool))
    seer.complete(visible)
    assert seer.attempts[-1][0] == crop_around(visible)


def test_a_frame_that_is_given_stays() -> None:
    seer = Seer(np.ones((400, 400), bool))
    assert seer.complete(square(400, 180, 220), crop=Crop(150, 150, 100)).crop == Crop(150, 150, 100)


def test_half_of_the_votes_are_enough() -> None:
    crop, nothing = Crop(0, 0, 256), np.zeros((256, 256), bool)
    small, large = square(256, 100, 150), square(256, 80, 200)
    completions = [Completion(picture(m, (9, 9, 9))) for m in (small, small, large, large)]
    assert np.array_equal(amodal_mask(completions, nothing, crop), large)
    assert np.array_equal(amodal_mask(completions[:3], nothing, crop), small)
    visible = square(256, 10, 20)
    assert amodal_mask(completions, visible, crop)[15, 15]
    assert most_agreed(completions[1:], small, crop) == 0


def test_specks_go_and_the_touching_part_stays() -> None:
    crop, visible = Crop(0, 0, 256), square(256, 90, 130)
    rgba = picture(square(256, 80, 200) | square(256, 10, 16), (50, 60, 70))
    cleaned = _without_specks(rgba, visible, crop)[..., 3] > 127
    assert cleaned[150, 150]
    assert not cleaned[12, 12]


def test_next_to_its_background_an_object_ends_where_the_visible_part_does() -> None:
    """A thing imagined two pixels too large; an occluder hides its right third, a wire runs through the rest."""
    crop, whole = Crop(0, 0, 256), square(256, 60, 180)
    visible = whole.copy()
    visible[:, 140:] = False
    visible[100:104] = False
    larger = square(256, 58, 182)
    larger[180:230, 90:94] = True
    cleaned = _without_rims(picture(larger, (9, 9, 9)), visible, crop)
    drawn = cleaned[..., 3] > 127
    assert drawn[185:230, 90:94].all()  # a handle
    assert not (drawn & ~whole)[:, :80].any()
    assert (whole & ~drawn).sum() < 8  # a notch at the end of the wire
    assert drawn[:, 150:].sum() == larger[:, 150:].sum()
    assert cleaned[59, 100, 3] > 0  # an edge, not a stair
    assert np.array_equal(cleaned[..., :3], picture(larger, (9, 9, 9))[..., :3])


def test_the_photograph_stays_where_it_shows_and_its_colour_goes_on() -> None:
    crop, visible = Crop(0, 0, 512), np.zeros((512, 512), bool)
    visible[100:260, 150:350] = True
    image = np.random.default_rng(0).integers(90, 110, (512, 512, 3)).astype(np.uint8)
    imagined = np.zeros((256, 256, 4), np.uint8)
    imagined[50:200, 75:175] = (60, 60, 60, 255)
    rgba = _with_photograph(imagined, image, visible, crop, trust=1.0)
    assert rgba.shape == (512, 512, 4)
    inner = (slice(120, 240), slice(170, 330))
    assert np.array_equal(rgba[inner][..., :3], image[inner])
    assert abs(float(rgba[330, 250, 0]) - 100) < 8  # hidden, imagined too dark, brought to the photograph's tone
    assert (rgba[..., 3] > 127)[visible].all()


def test_colours_that_are_hardly_trusted_give_way_to_the_visible_ones() -> None:
    """The photograph is green where the object shows; below, a colour is imagined that the shift cannot know of."""
    crop, visible = Crop(0, 0, 256), np.zeros((256, 256), bool)
    visible[60:120, 60:200] = True
    image = np.zeros((256, 256, 3), np.uint8)
    image[visible] = (20, 200, 20)
    imagined = np.zeros((256, 256, 4), np.uint8)
    imagined[60:120, 60:200] = (20, 200, 20, 255)
    imagined[120:220, 60:200] = (220, 20, 220, 255)
    colours = [_with_photograph(imagined, image, visible, crop, trust)[170, 130, :3] for trust in (1.0, 0.3, 0.0)]
    wanted = [np.array([220, 20, 220]) * trust + np.array([20, 200, 20]) * (1 - trust) for trust in (1.0, 0.3, 0.0)]
    assert np.abs(np.array(colours) - np.array(wanted)).max() <= 2


def test_bands_go_on_behind_what_hides_them() -> None:
    """The right half of a thing with three bands is hidden: each goes on in its rows."""
    crop, visible = Crop(0, 0, 512), np.zeros((512, 512), bool)
    visible[100:400, 150:260] = True
    image = np.zeros((512, 512, 3), np.uint8)
    bands = {(100, 200): (200, 30, 30), (200, 300): (230, 230, 230), (300, 512): (30, 30, 200)}
    for (top, bottom), colour in bands.items():
        image[top:bottom] = colour
    imagined = picture(square(256, 50, 230), (128, 128, 128))
    rgba = _with_photograph(imagined, image, visible, crop, trust=0.0)
    for row, colour in zip((150, 250, 350), bands.values(), strict=True):
        assert np.abs(rgba[row, 350, :3].astype(int) - colour).max() < 25, row


def test_nothing_to_carry_on_leaves_the_imagined_colours() -> None:
    crop, visible = Crop(0, 0, 256), np.zeros((256, 256), bool)
    visible[60:62, 60:62] = True
    imagined = picture(square(256, 80, 200), (90, 80, 70))
    rgba = _with_photograph(imagined, np.zeros((256, 256, 3), np.uint8), visible, crop, trust=0.0)
    assert tuple(rgba[140, 140, :3]) == (90, 80, 70)
