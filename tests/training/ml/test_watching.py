"""Answers to held-out prompts while a policy is trained: there when asked for, and nothing learned differs for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.demonstrations import write_demonstrations
from tests.training.ml.jobs import write_job
from tests.training.planted import write_planted
from training.ml import cancel, policy_run, run
from training.ml.progress import read_lines

SETTINGS = {"batch_size": 2, "gradient_accumulation": 1, "epochs": 1, "rank": 4, "learning_rate": 0.003, "dropout": 0.1}
RECIPES = ("sft", "dpo", "kto", "orpo", "simpo")


def job(directory: Path, recipe: str, model: Path, **settings: Any) -> Path:
    write = write_demonstrations if recipe == "sft" else write_planted
    data = write(directory / "data", train=12, test=4)
    return write_job(directory / "run", recipe, model, data, **SETTINGS | settings)


def written(directory: Path) -> dict[int, list[dict[str, Any]]]:
    lines = [line for line in read_lines(directory / "progress.jsonl") if line["kind"] == "samples"]
    assert len({line["step"] for line in lines}) == len(lines)
    return {line["step"]: line["samples"] for line in lines}


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "artifact" / "adapter_model.safetensors")


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_so_many_steps_held_out_prompts_are_answered(recipe: str, fixture_model: Path, tmp_path: Path) -> None:
    watched = job(tmp_path / "watched", recipe, fixture_model, samples_every=2)
    assert run.main([str(watched)]) == run.DONE
    steps = [line["step"] for line in read_lines(watched / "progress.jsonl") if line["kind"] == "step"]
    found = written(watched)
    assert list(found) == [step for step in steps if step % 2 == 0] and len(found) >= 3
    assert all(len(rows) == 3 for rows in found.values())
    first = found[2]
    assert {row["prompt"][-1]["role"] for row in first} == {"user"} and all("reward" not in row for row in first)


def test_what_is_learned_does_not_depend_on_who_looks(fixture_model: Path, tmp_path: Path) -> None:
    """With dropout: answering draws random numbers, and switches it off and on again."""
    watched = job(tmp_path / "watched", "dpo", fixture_model, samples_every=1)
    alone = job(tmp_path / "alone", "dpo", fixture_model)
    for directory in (watched, alone):
        assert run.main([str(directory)]) == run.DONE
    assert not written(alone)
    expected = weights(alone)
    assert all(torch.equal(value, expected[name]) for name, value in weights(watched).items())


def test_a_run_that_is_stopped_while_it_answers_loses_no_step(
    fixture_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = job(tmp_path / "whole", "dpo", fixture_model)
    cut = job(tmp_path / "cut", "dpo", fixture_model, samples_every=2, checkpoint_every=100)
    answers = policy_run.answers

    def stopped(*given: Any) -> list[str]:
        raise cancel.Cancelled

    monkeypatch.setattr(policy_run, "answers", stopped)
    assert run.main([str(cut)]) == run.CANCELLED
    told = [line["step"] for line in read_lines(cut / "progress.jsonl") if line["kind"] == "step"]
    assert told == [1, 2]
    monkeypatch.setattr(policy_run, "answers", answers)
    run.cancel.reset()
    for directory in (cut, whole):
        assert run.main([str(directory)]) == run.DONE
    told = [line["step"] for line in read_lines(cut / "progress.jsonl") if line["kind"] == "step"]
    assert told == sorted(set(told)), "it went on behind the step after which it was stopped"
    assert min(written(cut)) == 2, "and has looked at that one"
    expected = weights(whole)
    assert all(torch.allclose(value, expected[name], atol=1e-6) for name, value in weights(cut).items())
