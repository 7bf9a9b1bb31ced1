"""Every policy recipe refuses what cannot be trained on, with the reason, and leaves no artifact."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.demonstrations import demonstration_rows, write_demonstration_rows, write_demonstrations
from tests.training.ml.jobs import write_job
from tests.training.planted import planted_rows, row, write_planted, write_rows
from training.ml import run

RECIPES = ["sft", "dpo", "kto", "orpo", "simpo"]
ON_PAIRS = ["dpo", "kto", "orpo", "simpo"]


def data_for(recipe: str, directory: Path) -> dict[str, str]:
    write = write_demonstrations if recipe == "sft" else write_planted
    return write(directory / "data", train=8, test=6)


def failure(directory: Path) -> dict[str, str]:
    assert run.main([str(directory)]) == run.FAILED
    assert not (directory / "artifact").exists()
    return json.loads((directory / "error.json").read_text())


@pytest.mark.parametrize("recipe", RECIPES)
def test_prompts_longer_than_the_longest_example_leave_nothing(
    recipe: str, fixture_model: Path, tmp_path: Path
) -> None:
    told = failure(write_job(tmp_path / "run", recipe, fixture_model, data_for(recipe, tmp_path), max_length=16))
    assert told["code"] == "empty_data"
    assert "at most 16 are allowed" in told["message"]


@pytest.mark.parametrize("recipe", ON_PAIRS)
def test_chosen_equal_to_rejected_leaves_nothing(recipe: str, fixture_model: Path, tmp_path: Path) -> None:
    data = data_for(recipe, tmp_path)
    write_rows(Path(data["train"]), [row("same", "Why?", "Because.", "Because.")])
    told = failure(write_job(tmp_path / "run", recipe, fixture_model, data))
    assert (told["code"], "chosen and rejected are the same" in told["message"]) == ("empty_data", True)


@pytest.mark.parametrize("recipe", RECIPES)
def test_empty_responses_leave_nothing(recipe: str, fixture_model: Path, tmp_path: Path) -> None:
    data = data_for(recipe, tmp_path)
    if recipe == "sft":
        silent = [{**demonstration_rows(1)[0], "response": [{"role": "assistant", "content": " "}]}]
        write_demonstration_rows(Path(data["train"]), silent)
    else:
        write_rows(Path(data["train"]), [row("empty", "Why?", " ", "\n")])
    told = failure(write_job(tmp_path / "run", recipe, fixture_model, data))
    assert (told["code"], "is empty" in told["message"]) == ("empty_data", True)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_tokenizer_without_eos_is_refused(recipe: str, fixture_model: Path, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_pretrained(fixture_model).save_pretrained(tmp_path / "endless")
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "endless")
    told = failure(write_job(tmp_path / "run", recipe, tmp_path / "endless", data_for(recipe, tmp_path)))
    assert told["code"] == "no_eos"


@pytest.mark.parametrize("recipe", RECIPES)
def test_weights_that_are_not_numbers_end_the_run_with_nan_loss(
    recipe: str, fixture_model: Path, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(fixture_model)
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = math.nan
    model.save_pretrained(tmp_path / "broken")
    AutoTokenizer.from_pretrained(fixture_model).save_pretrained(tmp_path / "broken")
    told = failure(write_job(tmp_path / "run", recipe, tmp_path / "broken", data_for(recipe, tmp_path)))
    assert told["code"] == "nan_loss"
    assert "is broken: 1 of its tensors" in told["message"] and "up_proj" in told["message"]
    assert "learning rate" not in told["hint"]


@pytest.mark.parametrize("recipe", ON_PAIRS)
def test_pairs_that_weigh_nothing_train_nothing_and_the_run_says_so(
    recipe: str, fixture_model: Path, tmp_path: Path
) -> None:
    data = data_for(recipe, tmp_path)
    write_rows(Path(data["train"]), [{**pair, "weight": 1e-60} for pair in planted_rows(8)])
    assert failure(write_job(tmp_path / "run", recipe, fixture_model, data))["code"] == "nothing_trained"


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_tokenizer_whose_pad_is_its_eos_is_no_obstacle(
    recipe: str, fixture_model_pad_is_eos: Path, tmp_path: Path
) -> None:
    data = data_for(recipe, tmp_path)
    assert run.main([str(write_job(tmp_path / "run", recipe, fixture_model_pad_is_eos, data))]) == run.DONE
