"""CLIP's text tower against a second implementation, its vocabulary, and recognition with made-up weights."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from unocclude.cli import main
from unocclude.errors import InputError, ModelsMissingError
from unocclude.models import checkpoints
from unocclude.models.clip import END, START, Clip, ClipConfig, Tokenizer
from unocclude.models.image_encoder import ImageEncoderConfig
from unocclude.pipeline.recognise import COCO, Recogniser, pictures_of_job, recognition_pictures
from unocclude.pipeline.types import Completion

MERGES = [("c", "a"), ("ca", "t</w>"), ("o", "f</w>")]
TINY = ClipConfig(ImageEncoderConfig(28, 14, 16, 1, 2, 8, antialias=False), 16, 2, 2, 12, 512 + len(MERGES) + 2)


@pytest.fixture(scope="module")
def clip() -> Clip:
    torch.manual_seed(0)
    return Clip(TINY).eval()


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(gzip.compress("\n".join(["#version", *(" ".join(pair) for pair in MERGES)]).encode()))
    return path


def official_state(clip: Clip) -> dict[str, Tensor]:
    """In the layout of OpenAI's file."""
    parts: dict[str, dict[int, Tensor]] = {}
    for name, source in checkpoints.clip_sources(clip).items():
        order = next((k for k, part in enumerate(("q_proj", "k_proj", "v_proj")) if part in name), 0)
        tensor = clip.state_dict()[name]
        flipped = name.endswith(("visual_projection.weight", "text_projection.weight"))
        parts.setdefault(source.key, {})[order] = tensor.T.contiguous() if flipped else tensor
    return {key: p[0] if len(p) == 1 else torch.cat([p[k] for k in range(3)]) for key, p in parts.items()}


def test_weights_of_the_official_layout_come_back(clip: Clip) -> None:
    state = official_state(clip)
    assert "transformer.resblocks.1.attn.in_proj_weight" in state
    assert "visual.proj" in state
    other = Clip(TINY).eval()
    checkpoints.load_clip(other, state | {"context_length": torch.tensor(12)})
    for name, tensor in clip.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
    with pytest.raises(checkpoints.CheckpointMismatchError, match="ln_final"):
        checkpoints.load_clip(other, {key: t for key, t in state.items() if key != "ln_final.bias"})


@torch.inference_mode()
def test_the_text_tower_is_the_published_one(clip: Clip) -> None:
    """Written down once more from the paper's description, straight from the official tensors."""
    state = official_state(clip)
    tokens = torch.tensor([[TINY.vocabulary - 2, 5, 300, 77, *[TINY.vocabulary - 1] * 8]])
    x = state["token_embedding.weight"][tokens] + state["positional_embedding"]

    def normal(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    for layer in range(TINY.layers):
        name = f"transformer.resblocks.{layer}"
        projection = (state[f"{name}.attn.in_proj_{kind}"] for kind in ("weight", "bias"))
        stacked = F.linear(normal(x, f"{name}.ln_1"), *projection)
        q, k, v = (part.unflatten(-1, (TINY.heads, -1)).transpose(1, 2) for part in stacked.chunk(3, dim=-1))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        scores += torch.full(scores.shape[-2:], -torch.inf).triu(1)
        seen = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + F.linear(seen, state[f"{name}.attn.out_proj.weight"], state[f"{name}.attn.out_proj.bias"])
        wide = F.linear(normal(x, f"{name}.ln_2"), state[f"{name}.mlp.c_fc.weight"], state[f"{name}.mlp.c_fc.bias"])
        wide = wide * torch.sigmoid(1.702 * wide)
        x = x + F.linear(wide, state[f"{name}.mlp.c_proj.weight"], state[f"{name}.mlp.c_proj.bias"])
    ended = normal(x, "ln_final")[:, 4] @ state["text_projection"]
    assert torch.allclose(clip.embed_texts(tokens), F.normalize(ended, dim=-1), atol=1e-5)


def test_words_become_tokens(vocabulary: Path) -> None:
    tokenizer = Tokenizer(vocabulary, length=8)
    cat, of = 512 + 1, 512 + 2
    start, end = 512 + 3, 512 + 4
    a, t_end, k_end = ord("a") - ord("!"), 256 + ord("t") - ord("!"), 256 + ord("k") - ord("!")
    (tokens,) = tokenizer(["A  cat of k"]).tolist()
    assert tokens == [start, 256 + a, cat, of, k_end, end, end, end]
    assert tokenizer(["t " * 20]).tolist()[0] == [start, *[t_end] * 6, end]
    assert START not in END


def test_a_damaged_vocabulary_is_refused(vocabulary: Path) -> None:
    vocabulary.write_bytes(vocabulary.read_bytes()[:-12])
    with pytest.raises(ModelsMissingError, match="vocabulary"):
        Tokenizer(vocabulary)


def scene() -> tuple[np.ndarray, np.ndarray, Completion]:
    image = np.random.default_rng(0).integers(0, 200, (60, 90, 3)).astype(np.uint8)
    visible = np.zeros((60, 90), bool)
    visible[20:40, 30:60] = True
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:48, 16:48] = (10, 200, 30, 255)
    return image, visible, Completion(rgba)


def test_labels_are_ranked_by_probability(clip: Clip, vocabulary: Path) -> None:
    image, visible, completion = scene()
    labels = ("cat", "dog", "cup")
    found = Recogniser(clip, Tokenizer(vocabulary, 12), labels).guesses(
        recognition_pictures(completion, image, visible), top=10
    )
    assert list(found) == ["completed object", "whole image", "red circle", "visible part only"]
    for guesses in found.values():
        assert {guess.label for guess in guesses} == set(labels)
        scores = [guess.score for guess in guesses]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-3)


def test_a_picture_gets_the_label_whose_vector_it_has(clip: Clip, vocabulary: Path) -> None:
    """Texts are replaced by the vectors of pictures, so the right answers are known."""
    image, visible, completion = scene()
    pictures = recognition_pictures(completion, image, visible)
    recogniser = Recogniser(clip, Tokenizer(vocabulary, 12), tuple(pictures))
    size = TINY.image.size
    squares = {name: np.asarray(Image.fromarray(p).resize((size, size))) for name, p in pictures.items()}
    batch = torch.stack([torch.from_numpy(p.copy()).permute(2, 0, 1) / 127.5 - 1 for p in squares.values()])
    with torch.inference_mode():
        recogniser._texts = clip.embed_pictures(batch)
    for name, guesses in recogniser.guesses(squares).items():
        assert guesses[0].label == name


def test_the_baselines_show_what_they_say() -> None:
    image, visible, completion = scene()
    pictures = recognition_pictures(completion, image, visible)
    assert (pictures["completed object"][0, 0] == 255).all()
    assert (pictures["completed object"][30, 30] == (10, 200, 30)).all()
    assert np.array_equal(pictures["whole image"], image)
    changed = (pictures["red circle"] != image).any(axis=-1)
    assert (pictures["red circle"][changed] == (255, 0, 0)).all()
    assert not changed[25:35, 35:55].any()
    assert 20 < changed.sum() < 600
    assert (pictures["visible part only"][0] == 255).all()


def job(folder: Path) -> Path:
    image, visible, completion = scene()
    Image.fromarray(image).save(folder / "photo.png")
    Image.fromarray(255 * visible.astype(np.uint8)).save(folder / "visible_mask.png")
    Image.fromarray(completion.rgba).save(folder / "completion_01.png")
    (folder / "report.json").write_text(json.dumps({"scores": {"chosen": 1}}))
    return folder


def test_a_jobs_folder_is_enough(tmp_path: Path) -> None:
    assert list(pictures_of_job(job(tmp_path), None)) == ["completed object"]
    assert len(pictures_of_job(tmp_path, tmp_path / "photo.png")) == 4
    with pytest.raises(InputError, match="no folder of a job"):
        pictures_of_job(tmp_path / "nowhere", None)


def test_missing_weights_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognise", str(job(tmp_path)), "--weights", str(tmp_path / "weights"), "--device", "cpu"]) == 2
    assert "unocclude models download bpe_simple_vocab_16e6.txt.gz" in capsys.readouterr().err


def test_cocos_labels_are_eighty() -> None:
    assert len(set(COCO)) == 80
