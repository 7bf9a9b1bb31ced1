"""A model whose weights are NaN says so wherever it is used, and not by the traceback of what came of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.ml.jobs import write_job
from tests.training.ml.test_loop import CONFIG, model, rows, spoilt_at, squared_error
from tests.training.ml.test_sampling import make_job
from tests.training.planted import write_planted
from training.ml import run, sampling
from training.ml.errors import ModelError
from training.ml.loop import train
from training.ml.not_finite import not_finite, require_numbers
from training.ml.progress import Progress


@pytest.fixture(scope="module")
def broken(fixture_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken") / "model"
    model = AutoModelForCausalLM.from_pretrained(fixture_model)
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = math.nan
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(fixture_model).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_is_drawn_from_it(broken: Path, tmp_path: Path, temperature: float) -> None:
    with pytest.raises(ModelError, match=r"model is broken: 1 of its tensors .*up_proj") as caught:
        sampling.run(make_job(tmp_path / "job", broken, temperature=temperature))
    assert caught.value.code == "nan_loss" and "another model" in caught.value.hint


@pytest.mark.parametrize("recipe", ["ppo", "rloo"])
def test_a_policy_that_is_to_be_drawn_from_is_refused(
    broken: Path, judge: dict[str, Any], tmp_path: Path, recipe: str
) -> None:
    data = write_planted(tmp_path / "data", train=8, test=4)
    short = {"batch_size": 4, "max_new_tokens": 8, **({"rollouts": 8} if recipe == "ppo" else {})}
    job = write_job(tmp_path / "run", recipe, broken, data, reward_model=judge, **short)
    assert run.main([str(job)]) == run.FAILED
    told = json.loads((job / "error.json").read_text())
    assert told["code"] == "nan_loss" and "is model.layers.0.mlp.up_proj.weight." in told["message"]


def test_a_vocabulary_padded_with_minus_infinity_is_drawn_from() -> None:
    logits = torch.tensor([[0.5, -math.inf], [1.0, -math.inf]])
    require_numbers(nn.Linear(2, 2), logits)
    logits[1, 0] = math.nan
    with pytest.raises(ModelError, match="computes NaN where the next token"):
        require_numbers(nn.Linear(2, 2), logits)


def test_what_is_being_trained_is_looked_at_only_where_it_is_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].requires_grad_(False)
    for layer in model:
        layer.weight.data[0, 0] = math.inf
    assert not_finite(model, with_trained=False) == ["1.weight"]
    assert not_finite(model, with_trained=True) == ["0.weight", "1.weight"]


def test_a_frozen_weight_that_is_none_is_named_whenever_a_batch_comes_upon_it(tmp_path: Path) -> None:
    net = model()
    net.register_parameter("frozen", nn.Parameter(torch.full((2,), math.inf), requires_grad=False))
    with pytest.raises(
        ModelError, match="is broken: 1 of its tensors hold NaN or infinity, the first is frozen"
    ) as told:
        train(
            net,
            rows(),
            spoilt_at(5)(squared_error(net)),
            CONFIG,
            seed=5,
            directory=tmp_path,
            progress=Progress(tmp_path),
        )
    assert "another model" in told.value.hint
