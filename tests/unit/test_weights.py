"""Bundled weight files: what is saved comes back, and damaged or foreign files are refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from unocclude.errors import ModelsMissingError, UnoccludeError
from unocclude.models import weights
from unocclude.models.autoencoder import Autoencoder, AutoencoderConfig
from unocclude.models.pix2gestalt import Pix2Gestalt, Pix2GestaltConfig
from unocclude.models.registry import BUNDLED
from unocclude.models.syncdreamer import SyncDreamerConfig
from unocclude.models.view_guess import GuessConfig, ViewGuess
from unocclude.models.weights import from_json, load_bundled, read_card, save_bundled

SMALL = replace(AutoencoderConfig.bundled(), widths=(8, 8), groups=4, latent_mean=(0.5, 0.0, -1.0, 2.0))


def saved(folder: Path) -> tuple[Autoencoder, Path]:
    torch.manual_seed(0)
    module, path = Autoencoder(SMALL), folder / "autoencoder.safetensors"
    save_bundled(module, path, {"steps": 3})
    return module, path


def test_weights_and_config_come_back(tmp_path: Path) -> None:
    module, path = saved(tmp_path)
    loaded = load_bundled(path, Autoencoder)
    assert loaded.config == SMALL
    assert not loaded.training
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, module.state_dict()[name].half().float())
    assert read_card(path) == {"steps": 3}


def test_the_file_is_half_precision(tmp_path: Path) -> None:
    _, path = saved(tmp_path)
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}


@pytest.mark.parametrize("config", [Pix2GestaltConfig.bundled(), SyncDreamerConfig.official()])
def test_nested_configs_survive_json(config: object) -> None:
    assert from_json(type(config), json.loads(json.dumps(asdict(config)))) == config  # type: ignore[call-overload]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelsMissingError, match=r"nowhere\.safetensors"):
        load_bundled(tmp_path / "nowhere.safetensors", Autoencoder)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    _, path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelsMissingError, match="cannot be read"):
        load_bundled(path, Autoencoder)


def test_another_network_is_refused(tmp_path: Path) -> None:
    _, path = saved(tmp_path)
    with pytest.raises(ModelsMissingError, match="does not hold a Pix2Gestalt"):
        load_bundled(path, Pix2Gestalt)


def test_weights_that_do_not_fit_the_config_are_refused(tmp_path: Path) -> None:
    _, path = saved(tmp_path)
    tensors = load_file(path)
    tensors.pop("kl.quant_conv.weight")
    header = {"network": "Autoencoder", "config": json.dumps({"channels": 4}), "card": "{}"}
    save_file(tensors, path, header)
    with pytest.raises(ModelsMissingError, match="another version"):
        load_bundled(path, Autoencoder)


def test_what_half_precision_cannot_hold_is_not_saved(tmp_path: Path) -> None:
    module, path = saved(tmp_path)
    path.unlink()
    with torch.no_grad():
        next(module.parameters()).fill_(1e6)
    with pytest.raises(UnoccludeError, match="not finite"):
        save_bundled(module, path, {})
    assert not path.exists()


@pytest.fixture
def guess() -> ViewGuess:
    """Looks through the published classifier."""
    made = ViewGuess(GuessConfig.bundled())
    known = load_bundled(BUNDLED / "completion.safetensors", Pix2Gestalt).known
    assert known is not None
    made.classifier.classifier.load_state_dict(known.classifier.state_dict())
    return made


def of_classifier(module: ViewGuess) -> dict[str, torch.Tensor]:
    return {f"classifier.classifier.{name}": w for name, w in module.classifier.classifier.state_dict().items()}


def test_the_published_classifier_is_not_saved_again(guess: ViewGuess, tmp_path: Path) -> None:
    save_bundled(guess, tmp_path / "guess.safetensors", {})
    assert not load_file(tmp_path / "guess.safetensors").keys() & of_classifier(guess).keys()
    loaded = of_classifier(load_bundled(tmp_path / "guess.safetensors", ViewGuess))
    assert all(torch.equal(weight, loaded[name]) for name, weight in of_classifier(guess).items())


def test_what_a_classifier_learned_is_saved(guess: ViewGuess, tmp_path: Path) -> None:
    changed = "classifier.classifier.conv_stem.weight"
    with torch.no_grad():
        guess.get_parameter(changed).zero_()
    save_bundled(guess, tmp_path / "guess.safetensors", {})
    assert load_file(tmp_path / "guess.safetensors").keys() & of_classifier(guess).keys() == {changed}
    assert not load_bundled(tmp_path / "guess.safetensors", ViewGuess).get_parameter(changed).any()


def test_a_missing_classifier_is_named(guess: ViewGuess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_bundled(guess, tmp_path / "guess.safetensors", {})
    monkeypatch.setattr(weights, "CLASSIFIER", tmp_path / "classifier.safetensors")
    with pytest.raises(ModelsMissingError, match=r"classifier\.safetensors"):
        load_bundled(tmp_path / "guess.safetensors", ViewGuess)


def test_what_is_bundled_stays_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLED.glob("*.safetensors")) <= 64e6
