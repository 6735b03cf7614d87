"""The promptable segmenter: SAM's architecture at every size, prompts to masks, and what the bundled weights can do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from unocclude.errors import InputError, ModelsMissingError
from unocclude.models.converted import load_official
from unocclude.models.registry import BUNDLED
from unocclude.models.relative_attention import RelativeAttention
from unocclude.models.segmenter import EncodedImages, PromptableSegmenter, SegmenterConfig, official_segmenter
from unocclude.models.weights import load_bundled
from unocclude.pipeline.look import look
from unocclude.pipeline.segment import CONTEXT, Segmenter
from unocclude.pipeline.types import Image, Mask
from unocclude.protocol import Prompt
from unocclude.training.scene_stock import SceneStock
from unocclude.training.segmenter import SegmenterTask

SMALL = SegmenterConfig(
    image_size=64,
    patch_size=8,
    width=16,
    depth=2,
    heads=2,
    window=4,
    global_blocks=(1,),
    prompt_width=32,
    decoder_mlp_width=32,
)
KNOWING = replace(SMALL, image_size=128, patch_size=16, prompt_width=64, features="tf_efficientnet_lite0")

ROWS, COLUMNS = np.mgrid[:200, :300]
DISC: Mask = (ROWS - 110) ** 2 + (COLUMNS - 110) ** 2 < 60**2
PLANK: Mask = (COLUMNS > 130) & (COLUMNS < 190) & (ROWS > 20)


@pytest.fixture
def segmenter() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(PromptableSegmenter(SMALL))


@pytest.fixture(scope="module")
def picture() -> Image:
    """A red disc on a blue wall, partly behind a yellow plank, 300 x 200."""
    image = np.full((200, 300, 3), (60, 80, 140), np.uint8)
    image[DISC] = (200, 40, 30)
    image[PLANK] = (220, 200, 60)
    return image


@pytest.mark.parametrize("size", ["b", "l", "h"])
def test_official_sizes_have_the_published_layout(size: str) -> None:
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        published = sam_model_registry[f"vit_{size}"]().state_dict()
        ours = PromptableSegmenter(SegmenterConfig.official(size)).state_dict()  # type: ignore[arg-type]
    assert {name: tuple(t.shape) for name, t in ours.items()} == {n: tuple(t.shape) for n, t in published.items()}


def test_answers_are_those_of_the_published_predictor(segmenter: Segmenter, picture: Image) -> None:
    from segment_anything import SamPredictor

    predictor = SamPredictor(segmenter.model)
    predictor.set_image(picture)
    wanted, ratings, _ = predictor.predict(np.array([[100.0, 110.0]]), np.array([1]), return_logits=True)
    embedded = look(segmenter.model, picture)
    torch.testing.assert_close(embedded.encoded.features, predictor.features)
    scale = 64 / 300
    masks, ours = segmenter.model.decode(
        embedded.encoded, torch.tensor([[[100 * scale, 110 * (43 / 200)]]]), torch.tensor([[1]])
    )
    full = segmenter.model.postprocess_masks(masks[:, 1:], embedded.input_size, embedded.image_size)
    np.testing.assert_allclose(full[0].detach().numpy(), wanted, atol=1e-5)
    np.testing.assert_allclose(ours[0, 1:].detach().numpy(), ratings, atol=1e-6)


def test_many_images_are_answered_as_one_by_one(segmenter: Segmenter) -> None:
    images = torch.rand(2, 3, 64, 48) * 255
    points = torch.rand(6, 2, 2) * 48
    labels = torch.tensor([[1, 0]] * 6)
    together, _ = segmenter.model.decode(segmenter.model.encode(images), points, labels)
    for index in range(2):
        own = slice(3 * index, 3 * index + 3)
        alone, _ = segmenter.model.decode(segmenter.model.encode(images[index : index + 1]), points[own], labels[own])
        torch.testing.assert_close(together[own], alone, atol=1e-5, rtol=1e-4)


def test_padding_clicks_change_nothing(segmenter: Segmenter) -> None:
    """SAM itself pads a lone click, so one more padding click must differ from none, but not depend on its place."""
    encoded = segmenter.model.encode(torch.rand(1, 3, 64, 64) * 255)
    click = torch.tensor([[[10.0, 20.0], [0.0, 0.0]]])
    moved = torch.tensor([[[10.0, 20.0], [50.0, 5.0]]])
    labels = torch.tensor([[1, -1]])
    masks, _ = segmenter.model.decode(encoded, click, labels)
    torch.testing.assert_close(masks, segmenter.model.decode(encoded, moved, labels)[0])


@torch.inference_mode()
@pytest.mark.parametrize("grid", [(5, 5), (6, 4)])
def test_relative_attention_is_segment_anythings(grid: tuple[int, int]) -> None:
    from segment_anything.modeling.image_encoder import Attention

    torch.manual_seed(0)
    published = Attention(16, 2, use_rel_pos=True, input_size=grid)
    for parameter in published.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    ours = RelativeAttention(16, 2, use_rel_pos=True, input_size=grid)
    ours.load_state_dict(published.state_dict())
    tokens = torch.randn(3, *grid, 16)
    torch.testing.assert_close(ours(tokens), published(tokens), atol=1e-5, rtol=1e-4)
    torch.nn.init.zeros_(published.rel_pos_w)
    assert not torch.allclose(ours(tokens), published(tokens), atol=1e-2)


def read(path: Path, half: bool = False) -> PromptableSegmenter:
    return load_official(path, official_segmenter(path), path.parent / "converted", half)[0]


def test_official_file_is_read_strictly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SegmenterConfig, "official", classmethod(lambda cls, size: SMALL))
    with pytest.raises(ModelsMissingError, match="which SAM"):
        read(tmp_path / "sam.pth")
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(b"half a file")
    with pytest.raises(ModelsMissingError, match="cannot be read"):
        read(path)
    saved = PromptableSegmenter(SMALL)
    torch.save({**saved.state_dict(), "more": torch.zeros(1)}, path)
    with pytest.raises(ModelsMissingError, match="1 unexpected: more"):
        read(path)
    assert not (tmp_path / "converted").exists()
    torch.save(saved.state_dict(), path)
    images = torch.rand(1, 3, 64, 64) * 255
    torch.testing.assert_close(read(path).encode(images).features, saved.encode(images).features)


def test_halves_see_nearly_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Image) -> None:
    monkeypatch.setattr(SegmenterConfig, "official", classmethod(lambda cls, size: SMALL))
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.manual_seed(0)
    torch.save(PromptableSegmenter(SMALL).state_dict(), path)
    model = read(path, half=True)
    products = [w for name, w in model.named_parameters() if ".blocks." in name and w.ndim > 1]
    assert {weight.dtype for weight in products} == {torch.float16}
    assert {weight.dtype for weight in model.mask_decoder.parameters()} == {torch.float32}
    half, single = look(model.eval(), picture), look(read(path).eval(), picture)
    found, wanted = half.encoded.features, single.encoded.features
    assert found.dtype == torch.float32
    assert (found - wanted).abs().max() < 0.02 * wanted.abs().max()
    assert not torch.equal(found, wanted)


def drawing(monkeypatch: pytest.MonkeyPatch, segmenter: Segmenter, drawn: Mask) -> None:
    """Makes every answer of the network this mask of 32 x 32 pixels."""
    logits = torch.where(torch.from_numpy(drawn), 5.0, -5.0).expand(1, 4, -1, -1).clone()
    monkeypatch.setattr(segmenter.model, "decode", lambda *_: (logits, torch.zeros(1, 4)))


def test_mask_has_the_images_own_size_and_only_the_clicked_parts(
    monkeypatch: pytest.MonkeyPatch, segmenter: Segmenter, picture: Image
) -> None:
    drawn = np.zeros((32, 32), bool)
    drawn[2:8, 2:8] = drawn[2:8, 20:28] = drawn[15, 15] = True
    drawing(monkeypatch, segmenter, drawn)
    embedded = segmenter.embed(picture)
    cell = 300 / 32
    left = embedded.mask(Prompt(points=((5 * cell, 5 * cell),)))
    assert left.shape == (200, 300)
    assert left.dtype == np.bool_
    assert left[: int(9 * cell), : int(9 * cell)].sum() == left.sum() > 0
    both = embedded.mask(Prompt(points=((5 * cell, 5 * cell), (24 * cell, 5 * cell))))
    assert both[int(5 * cell), int(24 * cell)]
    assert not both[int(15.5 * cell), int(15.5 * cell)]
    boxed = embedded.mask(Prompt(box=(0, 0, 300, 200)))
    np.testing.assert_array_equal(boxed, both)


def test_an_object_in_two_pieces_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plank before it splits the disc; both sides belong to it, unless the artist says no."""
    torch.manual_seed(0)
    segmenter = Segmenter(PromptableSegmenter(replace(SMALL, colour_cut=True)))
    plank: Mask = (COLUMNS > 95) & (COLUMNS < 125)
    image = np.where(plank[..., None], (220, 200, 60), np.where(DISC[..., None], (200, 40, 30), (60, 80, 140)))
    cell = 300 / 32
    drawn = np.zeros((32, 32), bool)
    drawn[:21] = (DISC & ~plank)[(np.arange(21) * cell + cell / 2).astype(int)][
        :, (np.arange(32) * cell + 4).astype(int)
    ]
    drawing(monkeypatch, segmenter, drawn)
    embedded = segmenter.embed(image.astype(np.uint8))
    left, right = (COLUMNS <= 95) & DISC, (COLUMNS >= 125) & DISC
    assert overlap(embedded.mask(Prompt(points=((75, 110),))), left | right) > 0.8
    assert overlap(embedded.mask(Prompt(points=((75, 110),), negatives=((145, 110),))), left) > 0.8


RED = (200, 40, 30)


def seeing_red(monkeypatch: pytest.MonkeyPatch, segmenter: Segmenter) -> list[torch.Tensor]:
    """Makes the network answer with all that is red. Returns the red channels of what it was shown, as they come."""
    looks: list[tuple[EncodedImages, torch.Tensor]] = []
    channels: list[torch.Tensor] = []
    encode = segmenter.model.encode

    def watched(images: torch.Tensor) -> EncodedImages:
        looks.append((encode(images), images[0, :1]))
        channels.append(images[0, 0])
        return looks[-1][0]

    def red(encoded: EncodedImages, *_: object) -> tuple[torch.Tensor, torch.Tensor]:
        (channel,) = (channel for look, channel in looks if look is encoded)
        cells = torch.nn.functional.avg_pool2d(channel[None], 2, ceil_mode=True)
        logits = torch.full((1, 4, 32, 32), -5.0)
        logits[..., : cells.shape[2], : cells.shape[3]] = cells - 110
        return logits, torch.zeros(1, 4)

    monkeypatch.setattr(segmenter.model, "encode", watched)
    monkeypatch.setattr(segmenter.model, "decode", red)
    return channels


def test_small_objects_are_looked_at_again_from_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """A square of 40 pixels in a photograph of 1600: 64 pixels of the encoder for the window around it."""
    torch.manual_seed(0)
    segmenter = Segmenter(PromptableSegmenter(replace(SMALL, second_look=True)))
    photograph = np.full((1200, 1600, 3), 90, np.uint8)
    photograph[700:740, 1000:1040] = RED
    looks = seeing_red(monkeypatch, segmenter)
    embedded = segmenter.embed(photograph)
    wanted = (photograph == RED).all(axis=2)
    mask = embedded.mask(Prompt(points=((1020, 720),)))
    assert overlap(mask, wanted) > 0.9
    assert len(looks) == 2
    assert (looks[1] > 150).float().mean() > 0.3 / CONTEXT**2, "the window is not much larger than the object"
    assert overlap(embedded.mask(Prompt(points=((1030, 725),), negatives=((3, 3),))), wanted) > 0.9
    assert len(looks) == 2, "that window had been looked at"


def test_the_look_from_near_has_both_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two red squares beside a third thing, which splits the object; the click is on one of them."""
    torch.manual_seed(0)
    segmenter = Segmenter(PromptableSegmenter(replace(SMALL, second_look=True, colour_cut=True)))
    photograph = np.full((1200, 1600, 3), 90, np.uint8)
    photograph[650:790, 600:660] = photograph[650:790, 900:960] = RED
    photograph[600:840, 660:900] = (40, 90, 60)
    looks = seeing_red(monkeypatch, segmenter)
    mask = segmenter.embed(photograph).mask(Prompt(points=((630, 720),)))
    assert len(looks) == 2
    assert overlap(mask, (photograph == RED).all(axis=2)) > 0.7, "one piece alone would be half of it"


def test_what_runs_out_of_the_window_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the whole photograph only the near end of a bar is seen to be red, so the first window is too small for it."""
    torch.manual_seed(0)
    segmenter = Segmenter(PromptableSegmenter(replace(SMALL, second_look=True)))
    photograph = np.full((1200, 1600, 3), 90, np.uint8)
    photograph[690:750, 600:800] = RED
    looks = seeing_red(monkeypatch, segmenter)
    embedded = segmenter.embed(photograph)
    looks[0][:, 64 * 720 // 1600 :] = 90
    mask = embedded.mask(Prompt(points=((630, 720),)))
    assert len(looks) > 2
    assert overlap(mask, (photograph == RED).all(axis=2)) > 0.8, "as exactly as such a network draws it"


def test_finding_nothing_is_said(monkeypatch: pytest.MonkeyPatch, segmenter: Segmenter, picture: Image) -> None:
    drawing(monkeypatch, segmenter, np.zeros((32, 32), bool))
    with pytest.raises(InputError, match="draw a box") as caught:
        segmenter.embed(picture).mask(Prompt(points=((10, 10),)))
    assert caught.value.cure


@pytest.fixture(scope="module")
def bundled() -> Segmenter:
    return Segmenter(load_bundled(BUNDLED / "segmenter.safetensors", PromptableSegmenter))


def test_further_clicks_do_not_encode_again(
    monkeypatch: pytest.MonkeyPatch, bundled: Segmenter, picture: Image
) -> None:
    runs: list[int] = []
    encode = bundled.model.encode

    def counted(images: torch.Tensor) -> EncodedImages:
        runs.append(len(images))
        return encode(images)

    monkeypatch.setattr(bundled.model, "encode", counted)
    embedded = bundled.embed(picture)
    first = embedded.mask(Prompt(points=((85.0, 110.0),)))
    before = len(runs)
    assert before <= 2, "the whole picture, and the disc from near"
    again = embedded.mask(Prompt(points=((95.0, 110.0),)))
    assert len(runs) == before
    assert first.shape == again.shape == (200, 300)


def overlap(drawn: Mask, wanted: Mask) -> float:
    return float((drawn & wanted).sum() / (drawn | wanted).sum())


def test_bundled_weights_tell_the_object_from_its_occluder(bundled: Segmenter, picture: Image) -> None:
    embedded = bundled.embed(picture)
    visible = DISC & ~PLANK
    disc = embedded.mask(Prompt(points=((90, 110),)))
    assert overlap(disc, visible) > 0.7
    assert overlap(embedded.mask(Prompt(points=((160, 100),))), PLANK) > 0.5
    boxed = embedded.mask(Prompt(box=(50, 50, 131, 171)))
    assert overlap(boxed, visible) > 0.7
    np.testing.assert_array_equal(disc, bundled.embed(picture).mask(Prompt(points=((90, 110),))))


def test_the_classifier_of_known_features_is_not_trained() -> None:
    torch.manual_seed(0)
    model = PromptableSegmenter(KNOWING).train()
    assert model.stem is not None
    before = {name: value.clone() for name, value in model.stem.classifier.state_dict().items()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    images = (torch.rand(2, 96, 128, 3) * 255).permute(0, 3, 1, 2)  # as training has them, channels last
    masks, _ = model.decode(model.encode(images), torch.full((2, 1, 2), 50.0), torch.ones(2, 1))
    masks.square().mean().backward()
    assert all(value.grad is not None for value in model.stem.to_tokens.parameters())
    assert all(value.grad is not None for value in model.stem.fine.parameters())
    optimiser.step()
    for name, value in model.stem.classifier.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_training_begins_with_the_same_classifier_which_learns_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SceneStock, "__init__", lambda self: None)
    own = SegmenterTask(SceneStock(), SceneStock(), batch=1).module.stem  # type: ignore[call-arg]
    known = load_bundled(BUNDLED / "segmenter.safetensors", PromptableSegmenter).stem
    assert own is not None
    assert known is not None
    for name, value in known.classifier.state_dict().items():
        torch.testing.assert_close(own.classifier.state_dict()[name], value, rtol=0, atol=0)
    tokens, details = own.train()(torch.randn(2, 3, 96, 128))
    torch.stack([part.square().mean() for part in (tokens, *details)]).sum().backward()
    learned = {name.split(".")[1] for name, value in own.classifier.named_parameters() if value.grad is not None}
    assert learned == {"3", "4", "5", "6"}, "the groups from 1/16 of the picture's sides on"
