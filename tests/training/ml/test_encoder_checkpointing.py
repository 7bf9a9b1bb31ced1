"""Encoders whose layers are computed twice: the same loss and the same gradients, or a refusal before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.ml.encoders import FAMILIES, build_encoder
from tests.training.ml.jobs import manifest
from tests.training.ml.launching import in_one, job
from tests.training.ml.tensor_bytes import peak_bytes
from tests.training.ml.test_estimate_memory import item
from tests.training.ml.trained import SMALL, untrained
from training.ml import run
from training.ml.device import Device, choose_device
from training.ml.errors import ModelError
from training.ml.machine import body_of, settle, wants_checkpointing
from training.ml.reward_objective import by_model, preference_likelihood
from training.recipes.encoders import NEVER_TWICE
from training.recipes.errors import RecipeError
from training.recipes.estimate import Data, Machine, Question, Speed, estimate, nearest_that_fits, read_architecture
from training.recipes.reward import RewardConfig

pytestmark = pytest.mark.not_db
TWICE = [family for family in FAMILIES if family not in NEVER_TWICE]


def built(base: Path, adapter: str, checkpointing: str) -> tuple[nn.Module, RewardConfig]:
    config = RewardConfig(adapter=adapter, gradient_checkpointing=checkpointing, **SMALL)
    return untrained(config, "reward", base).train(), config


def learned(base: Path, adapter: str, checkpointing: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The losses of a batch and every gradient, once the run has settled how the model is computed."""
    model, config = built(base, adapter, checkpointing)
    batch = [item("reward", number) for number in range(3)]
    assert settle(model, config, choose_device(), batch, rows=2)["gradient_checkpointing"] == (checkpointing == "on")
    losses = preference_likelihood(by_model(model, 0), config, 0, None)(batch).losses
    losses.sum().backward()
    return losses.detach(), {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("adapter", ["full", "lora"])
@pytest.mark.parametrize("family", TWICE)
def test_loss_and_gradients_are_the_same_when_layers_are_computed_twice(
    family: str, adapter: str, tmp_path: Path
) -> None:
    base = build_encoder(tmp_path, family)
    (plain, gradients), (again, recomputed) = (learned(base, adapter, how) for how in ("off", "on"))
    torch.testing.assert_close(again, plain, rtol=0, atol=1e-6)
    assert gradients.keys() == recomputed.keys() and any(one.abs().max() > 0 for one in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(recomputed[name], gradient, rtol=0, atol=1e-6)


def test_layers_that_are_computed_twice_keep_less(tmp_path: Path) -> None:
    base = build_encoder(tmp_path)
    plain, twice = (peak_bytes(lambda how=how: learned(base, "full", how)) for how in ("off", "on"))
    assert twice < plain


def test_a_whole_run_on_an_encoder_computes_its_layers_twice_where_that_is_asked(tmp_path: Path) -> None:
    base = build_encoder(tmp_path / "encoder")
    done = in_one(job(tmp_path / "run", "reward", base, epochs=1, gradient_checkpointing="on"))
    assert manifest(done)["gradient_checkpointing"] is True


@pytest.mark.parametrize("family", NEVER_TWICE)
def test_a_family_that_cannot_be_computed_twice_is_refused_in_words_and_auto_leaves_it_off(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = build_encoder(tmp_path / "encoder", family)
    asked = job(tmp_path / "run", "reward", base, epochs=1, gradient_checkpointing="on")
    assert run.main([str(asked)]) == run.FAILED
    told = json.loads((asked / "error.json").read_text())
    assert (told["code"], family in told["message"]) == ("bad_config", True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1, 1))  # any batch would be too large
    model, config = built(base, "lora", "auto")
    assert not wants_checkpointing([model], config, Device(torch.device("cuda"), torch.float32, ""), 10**6)
    model, config = built(base, "lora", "on")
    with pytest.raises(ModelError, match="transformers does not offer it"):
        wants_checkpointing([model], config, choose_device(), 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_estimate_advises_it_for_no_model_that_cannot_do_it(family: str, tmp_path: Path) -> None:
    base = build_encoder(tmp_path, family)
    sizes = json.loads((base / "config.json").read_text())
    asked = Question(read_architecture(sizes), "reward", Machine("gpu", 12_000_000), Data(100, 200), Speed())
    config = RewardConfig(adapter="lora", batch_size=1, max_length=512, gradient_checkpointing="off")
    advised = nearest_that_fits(asked, config)
    never = family in NEVER_TWICE
    assert body_of(built(base, "lora", "off")[0]).supports_gradient_checkpointing is not never
    assert advised is None or not (never and "gradient_checkpointing" in advised.changed)
    if never:
        with pytest.raises(RecipeError, match="transformers does not offer it"):
            estimate(asked, RewardConfig(adapter="lora", gradient_checkpointing="on"))
