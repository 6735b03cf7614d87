"""The promptable segmenter: SAM's architecture at every size, prompts to masks, and what the bundled weights can do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from unocclude.errors import ModelsMissingError
from unocclude.models.segmenter import PromptableSegmenter, SegmenterConfig
from unocclude.pipeline.segment import Segmenter
from unocclude.pipeline.types import Image, Mask

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


@pytest.fixture
def segmenter() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(PromptableSegmenter(SMALL))


@pytest.fixture(scope="module")
def picture() -> Image:
    """A red disc on a blue wall beside a yellow square, 300 x 200."""
    rows, columns = np.mgrid[:200, :300]
    image = np.full((200, 300, 3), (60, 80, 140), np.uint8)
    image[disc(rows, columns)] = (200, 40, 30)
    image[40:110, 200:270] = (220, 200, 60)
    return image


def disc(rows: np.ndarray, columns: np.ndarray) -> Mask:
    return (rows - 110) ** 2 + (columns - 100) ** 2 < 55**2


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
    embedded = segmenter.embed(picture)
    torch.testing.assert_close(embedded.features, predictor.features)
    scale = 64 / 300
    masks, ours = segmenter.model.decode(
        embedded.features, torch.tensor([[[100 * scale, 110 * (43 / 200)]]]), torch.tensor([[1]])
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
    features = segmenter.model.encode(torch.rand(1, 3, 64, 64) * 255)
    click = torch.tensor([[[10.0, 20.0], [0.0, 0.0]]])
    moved = torch.tensor([[[10.0, 20.0], [50.0, 5.0]]])
    labels = torch.tensor([[1, -1]])
    masks, _ = segmenter.model.decode(features, click, labels)
    torch.testing.assert_close(masks, segmenter.model.decode(features, moved, labels)[0])


def test_official_file_is_read_strictly(tmp_path: Path) -> None:
    with pytest.raises(ModelsMissingError, match="which SAM"):
        PromptableSegmenter.from_official(tmp_path / "sam.pth")
    damaged = tmp_path / "sam_vit_b_01ec64.pth"
    damaged.write_bytes(b"half a file")
    with pytest.raises(ModelsMissingError, match="cannot be read"):
        PromptableSegmenter.from_official(damaged)
    torch.save({"pixel": torch.zeros(1)}, damaged)
    with pytest.raises(ModelsMissingError, match="does not fit"):
        PromptableSegmenter.from_official(damaged)


def test_official_file_is_the_network_that_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SegmenterConfig, "official", classmethod(lambda cls, size: SMALL))
    saved = PromptableSegmenter(SMALL)
    torch.save(saved.state_dict(), tmp_path / "sam_vit_l_0b3195.pth")
    loaded = PromptableSegmenter.from_official(tmp_path / "sam_vit_l_0b3195.pth")
    images = torch.rand(1, 3, 64, 64) * 255
    torch.testing.assert_close(loaded.encode(images), saved.encode(images))
