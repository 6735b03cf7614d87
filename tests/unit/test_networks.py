"""The bundled networks: shapes, what is trained, and that conditions matter."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from unocclude.models.autoencoder import Autoencoder, AutoencoderConfig, remove_white
from unocclude.models.pix2gestalt import FEATURE_CHANNELS, Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.registry import BUNDLED
from unocclude.models.syncdreamer import SyncDreamer, SyncDreamerConfig
from unocclude.models.view_guess import Seen
from unocclude.models.weights import load_bundled

SIDE = 64
LATENT = SIDE // 8


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator())


@pytest.fixture(scope="module")
def completion() -> Pix2Gestalt:
    torch.manual_seed(0)
    return Pix2Gestalt(Pix2GestaltConfig.bundled())


@pytest.fixture(scope="module")
def synthesis() -> SyncDreamer:
    torch.manual_seed(0)
    return SyncDreamer(SyncDreamerConfig.bundled())


def untrained(module: nn.Module) -> set[str]:
    """Children whose parameters got no gradient at all."""
    return {
        name
        for name, child in module.named_children()
        if list(child.parameters()) and all(p.grad is None for p in child.parameters())
    }


def test_completion_trains_all_but_the_autoencoder_and_the_classifier(completion: Pix2Gestalt) -> None:
    assert completion.known is not None
    completion.train()
    before = {name: value.clone() for name, value in completion.known.classifier.state_dict().items()}
    pictures = noise(2, 3, SIDE, SIDE)
    read = completion.known.read(completion.known.known(pictures))
    latents = torch.cat([noise(2, 8, LATENT, LATENT), read], dim=1)
    loss = completion.training_loss(noise(2, 4, LATENT, LATENT), latents, pictures, generator(), 5.0)
    loss.backward()
    assert untrained(completion) == {"autoencoder"}
    assert untrained(completion.known) == {"classifier"}
    assert all(torch.equal(before[name], value) for name, value in completion.known.classifier.state_dict().items())
    completion.zero_grad()
    completion.eval()


def test_the_bundled_completion_looks_through_a_classifier_that_knows_things() -> None:
    """Its highest maps hardly change when a picture is brightened, and do change when its things are torn apart."""
    model = load_bundled(BUNDLED / "completion.safetensors", Pix2Gestalt)
    image = np.asarray(Image.open(BUNDLED / "sample.png").convert("RGB").resize((256, 256)))
    torn = image.reshape(16, 16, 16, 16, 3).transpose(2, 1, 0, 3, 4).reshape(256, 256, 3)
    brighter = (image * 0.8 + 51).astype(np.uint8)
    pictures = torch.from_numpy(np.stack([image, brighter, torn])).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert model.known is not None
    with torch.inference_mode():
        plain, lit, apart = model.known.known(pictures)[-1].mean((2, 3))
    assert torch.cosine_similarity(plain, lit, dim=0) > 0.8
    assert torch.cosine_similarity(plain, apart, dim=0) < 0.8


def test_views_train_all_but_the_autoencoder_and_the_guesses(synthesis: SyncDreamer) -> None:
    seen = Seen(noise(1, 4, 32, 32), [noise(1, 112, 16, 16), noise(1, 320, 8, 8)], torch.zeros(1))
    loss = synthesis.training_loss(noise(1, 16, 4, 32, 32), seen, noise(1, 3, 128, 128), generator(), 2, 5.0)
    loss.backward()
    assert untrained(synthesis) == {"autoencoder", "guess", "hollows"}
    synthesis.zero_grad()


def test_a_mask_and_a_picture_make_the_condition(completion: Pix2Gestalt) -> None:
    picture, mask = noise(1, 3, SIDE, SIDE), noise(1, 1, SIDE, SIDE).sign()
    with torch.inference_mode():
        condition = completion.encode_condition(picture, mask).repeat(3)
    assert condition.latents.shape == (3, 8 + FEATURE_CHANNELS, LATENT, LATENT)
    assert condition.context.shape == (3, 1, completion.config.unet.context)


def test_guidance_of_one_is_none_and_of_zero_is_unconditional(completion: Pix2Gestalt) -> None:
    z, t = noise(1, 4, LATENT, LATENT), torch.tensor([500])
    with torch.inference_mode():
        condition = completion.encode_condition(noise(1, 3, SIDE, SIDE), noise(1, 1, SIDE, SIDE))
        other = completion.encode_condition(-noise(1, 3, SIDE, SIDE), noise(1, 1, SIDE, SIDE))
        assert torch.equal(completion.guided(z, t, condition, 1), completion.denoise(z, t, condition))
        without = completion.guided(z, t, condition, 0)
        assert torch.allclose(without, completion.guided(z, t, other, 0), atol=1e-5)
        assert not torch.allclose(without, completion.denoise(z, t, condition), atol=1e-5)


def test_conditions_are_dropped_in_the_published_shares(completion: Pix2Gestalt) -> None:
    latents, pictures = torch.ones(4, 8, 2, 2), noise(4, 3, 128, 128)
    drop = torch.tensor([0.04, 0.09, 0.14, 0.16])
    with torch.inference_mode():
        condition = completion.training_condition(latents, pictures, drop)
    assert condition.latents.flatten(1).any(1).tolist() == [True, False, False, True]
    assert condition.context.flatten(1).any(1).tolist() == [False, False, True, True]


def test_chunks_of_views_change_nothing(synthesis: SyncDreamer) -> None:
    with torch.inference_mode():
        condition = synthesis.encode_input(noise(1, 4, 256, 256), torch.tensor([0.2]))
        views, t = noise(1, 16, 4, 32, 32), torch.tensor([300])
        few, many = (synthesis.denoise(views, t, condition, 2.0, views_at_once=n) for n in (3, 16))
    assert few.shape == views.shape
    assert torch.allclose(few, many, atol=1e-4)


def test_views_know_of_each_other(synthesis: SyncDreamer) -> None:
    """Once the depth attention is trained; before, it adds nothing."""
    informed = copy.deepcopy(synthesis)
    with torch.no_grad():
        for transformer in (informed.unet.middle_depth, *informed.unet.up_depth.values()):
            nn.init.normal_(transformer.project_out[-1].weight, std=0.1)  # type: ignore[union-attr, arg-type, index]
    views, t = noise(1, 16, 4, 32, 32), torch.tensor([300])
    changed = views.clone()
    changed[:, 5] += 1
    for model, aware in ((synthesis, False), (informed, True)):
        with torch.inference_mode():
            condition = model.encode_input(noise(1, 4, 256, 256), torch.tensor([0.2]))
            before, after = (model.denoise(v, t, condition, 1.0)[:, 0] for v in (views, changed))
        assert torch.allclose(before, after, atol=1e-5) is not aware


def test_latents_are_standardised_and_back() -> None:
    config = AutoencoderConfig(4, (8, 8), 1, 4, False, (1.0, 2.0, 3.0, 4.0), (0.5, 1.0, 2.0, 4.0))
    autoencoder = Autoencoder(config)
    plain = noise(2, 4, 3, 3)
    assert torch.allclose(autoencoder.plain(autoencoder.standardise(plain)), plain, atol=1e-6)
    assert autoencoder.standardise(torch.tensor(config.latent_mean).reshape(1, 4, 1, 1)).abs().max() == 0


def test_rgba_is_cut_out_of_white() -> None:
    autoencoder = Autoencoder(AutoencoderConfig(4, (8, 8), 1, 4, False))
    red, grey, empty = (1.0, -1.0, -1.0, 1.0), (0.5, 0.5, 0.5, 0.0), (0.98, 0.98, 0.98, -0.99)
    decoded = torch.tensor([red, grey, empty]).T.reshape(1, 4, 1, 3)
    assert autoencoder.to_rgba(decoded)[0, 0].tolist() == [[255, 0, 0, 255], [126, 126, 126, 127], [255, 255, 255, 0]]


def test_colour_over_white_is_what_it_was() -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (8, 8, 3), np.uint8)
    alpha = rng.integers(32, 256, (8, 8), np.uint8)
    opacity = alpha[..., None] / 255
    over_white = np.round(colour * opacity + 255 * (1 - opacity)).astype(np.uint8)
    again = remove_white(over_white, alpha) * opacity + 255 * (1 - opacity)
    assert np.abs(again - over_white).max() <= 1
