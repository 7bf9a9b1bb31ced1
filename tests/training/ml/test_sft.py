"""The recipe "sft": what it learns, which tokens it learns from, and its figures with their intervals."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.training.demonstrations import write_demonstrations
from tests.training.ml.completion_logps import completion_logps
from tests.training.ml.jobs import job_of, manifest
from training.ml import sft
from training.ml.demonstrations import Demonstration, DemonstrationData
from training.ml.device import choose_device
from training.ml.imitation_figures import imitation_figures
from training.ml.intervals import mean, ratio
from training.ml.job import ModelSpec
from training.ml.load import load_policy
from training.ml.loop import take_step
from training.ml.progress import read_lines
from training.recipes.sft import SFTConfig

FAST = {"adapter": "full", "learning_rate": 0.005, "epochs": 4}


@pytest.fixture(scope="module")
def planted(fixture_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on demonstrations that all begin with "First,"."""
    directory = tmp_path_factory.mktemp("planted")
    data = write_demonstrations(directory / "data", train=96, test=24)
    job = job_of(directory / "run", "sft", fixture_model, data, **FAST)
    sft.run(job)
    return job.directory


def demonstrations() -> list[Demonstration]:
    return [
        Demonstration(f"d{i}", [], "", [5 + i] * (1 + i), [20 + 3 * i + j for j in range(2 * i + 1)] + [2])
        for i in range(4)
    ]


def test_held_out_demonstrations_become_likelier(planted: Path) -> None:
    metrics = manifest(planted)["metrics"]
    assert metrics["loss"]["high"] < metrics["loss_before"]["low"] - 2
    assert metrics["perplexity"]["value"] == pytest.approx(math.exp(metrics["loss"]["value"]))
    assert metrics["perplexity"]["high"] < metrics["perplexity_before"]["low"]
    assert metrics["token_accuracy"]["low"] > 0.3 > metrics["token_accuracy_before"]["high"]
    assert metrics["kl"]["low"] > 0
    assert metrics["loss"]["n"] == 24


def test_the_policy_answers_in_the_manner_of_the_demonstrations(planted: Path) -> None:
    samples = manifest(planted)["metrics"]["samples"]
    assert len(samples) == 3
    assert all(sample["new"].startswith("First,") for sample in samples)
    assert not any(sample["old"].startswith("First,") for sample in samples)


def test_its_product_is_a_policy_that_the_next_stage_starts_from(planted: Path, fixture_model: Path) -> None:
    found = manifest(planted)
    assert (found["recipe"], found["task"], found["kind"]) == ("sft", "policy", "full")
    start = load_policy(ModelSpec(str(planted / "artifact")), cache=planted, device=choose_device())
    sequences = [([5, 6, 7], [8, 9, 2])]
    with torch.no_grad():
        trained = completion_logps(start, sequences).item()
        before = completion_logps(AutoModelForCausalLM.from_pretrained(fixture_model), sequences).item()
    assert abs(trained - before) > 1


def test_an_adapter_learns_to_imitate_as_well(fixture_model: Path, tmp_path: Path) -> None:
    data = write_demonstrations(tmp_path / "data", train=48, test=8)
    job = job_of(tmp_path / "run", "sft", fixture_model, data, learning_rate=0.01, epochs=4)
    sft.run(job)
    found = manifest(job.directory)
    assert found["kind"] == "adapter"
    assert found["metrics"]["loss"]["high"] < found["metrics"]["loss_before"]["low"] - 0.3


def test_the_curve_shows_loss_and_token_accuracy(planted: Path) -> None:
    steps = [line["metrics"] for line in read_lines(planted / "progress.jsonl") if line["kind"] == "step"]
    assert steps[-1]["loss"] < steps[0]["loss"] - 2
    assert steps[0]["token_accuracy"] < 0.1 < steps[-1]["token_accuracy"]


def test_the_loss_is_that_of_the_responses_tokens_alone(fixture_model: Path) -> None:
    """Each demonstration alone, unpadded, the long way round."""
    model = AutoModelForCausalLM.from_pretrained(fixture_model).eval()
    outcome = sft.imitation(model)(demonstrations())
    hits = iter(outcome.metrics["token_accuracy"].tolist())
    for one, loss in zip(demonstrations(), outcome.losses.tolist(), strict=True):
        ids = torch.tensor([one.prompt_ids + one.completion_ids])
        with torch.no_grad():
            chances = model(ids).logits[0, :-1].log_softmax(dim=-1)[len(one.prompt_ids) - 1 :]
        targets = torch.tensor(one.completion_ids)
        assert loss == pytest.approx(-chances.gather(1, targets[:, None]).sum().item(), abs=1e-3)
        assert [next(hits) for _ in targets] == (chances.argmax(dim=1) == targets).tolist()


def test_the_curve_of_token_accuracy_is_over_tokens_as_the_figure_at_the_end_is(fixture_model: Path) -> None:
    torch.manual_seed(0)
    model, items = AutoModelForCausalLM.from_pretrained(fixture_model).eval(), demonstrations()
    with torch.no_grad():  # the likeliest tokens of the shortest one: a mean of shares would count it like the longest
        likeliest = model(torch.tensor([items[0].prompt_ids])).logits[0, -1].argmax().item()
    items[0] = replace(items[0], completion_ids=[likeliest])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    told = take_step(model, optimizer, [items[:2], items[2:]], sft.imitation(model), SFTConfig(), 0.0)
    held_out = [replace(one, id=f"{one.id}.{copy}") for one in items for copy in range(2)]  # enough for a figure
    measured = imitation_figures(model, lambda: nullcontext(model), held_out, 8)["token_accuracy"]["value"]
    assert told["token_accuracy"] == pytest.approx(measured, abs=1e-6)
    assert measured > 0


def test_a_step_is_the_mean_over_tokens_however_it_is_split(fixture_model: Path) -> None:
    items = demonstrations()

    def loss(batches: list[list[Any]]) -> float:
        model = AutoModelForCausalLM.from_pretrained(fixture_model).eval()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        return take_step(model, optimizer, batches, sft.imitation(model), SFTConfig(), 0.0)["loss"]

    whole = loss([items])
    assert whole == pytest.approx(loss([items[:1], items[1:]]), abs=1e-5)
    # A mean of the demonstrations' means would be another number.
    model = AutoModelForCausalLM.from_pretrained(fixture_model).eval()
    losses = sft.imitation(model)(items).losses
    units = torch.tensor([item.units for item in items])
    assert whole == pytest.approx((losses.sum() / units.sum()).item(), abs=1e-5)


def test_the_interval_of_a_ratio_counts_demonstrations_not_tokens() -> None:
    # Sums 6, 10, 3, 8, 9 over sizes 3, 4, 2, 5, 4: ratio 2; residuals 0, 2, -1, -2, 1; sd sqrt(10/4); t(0.975, 4).
    found = ratio([6.0, 10.0, 3.0, 8.0, 9.0], [3, 4, 2, 5, 4])
    assert found["value"] == 2.0
    assert found["n"] == 5
    assert found["high"] - 2.0 == pytest.approx(2.776445 * math.sqrt(2.5) * math.sqrt(5) / 18, abs=1e-6)
    assert 2.0 - found["low"] == pytest.approx(found["high"] - 2.0)


def test_demonstrations_of_one_prompt_are_no_more_sure_than_the_prompt() -> None:
    sums, sizes, prompts = [6.0, 10.0, 3.0, 8.0, 9.0, 7.0], [3, 4, 2, 5, 4, 2], [0, 1, 2, 3, 4, 4]
    found, by_prompt = ratio(sums, sizes, prompts), ratio([6.0, 10.0, 3.0, 8.0, 16.0], [3, 4, 2, 5, 6])
    assert found == {**by_prompt, "n": 6, "clusters": 5}
    few = ratio(sums, sizes, [0, 0, 1, 2, 3, 3])
    assert few["value"] is None and few["n"] == 6 and "too few prompts" in few["reason"]


def test_every_figure_of_held_out_demonstrations_is_over_prompts(fixture_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(fixture_model).eval()
    apart = [Demonstration(f"d{i}", [], "", [5 + i], [20 + i, *range(30, 30 + i), 2]) for i in range(6)]
    shared = [replace(one, id=f"{one.id}.{copy}") for one in apart for copy in range(3)]
    once, thrice = (imitation_figures(model, lambda: nullcontext(model), held, 4) for held in (apart, shared))
    for name, figure in thrice.items():
        assert (figure["n"], figure["clusters"]) == (18, 6), name
        told, expected = ([one[at] for at in ("value", "low", "high")] for one in (figure, once[name]))
        assert told == pytest.approx(expected, rel=1e-4, abs=1e-5), name
    data = DemonstrationData(apart, shared, [])
    assert (data.facts()["test"], data.facts()["test_prompts"]) == (18, 6)


def test_over_equal_sizes_a_ratio_is_a_mean() -> None:
    values = [1.0, 4.0, 2.0, 8.0, 5.0, 7.0]
    one, other = ratio([3 * value for value in values], [3] * 6), mean(values)
    assert [one[name] for name in ("value", "low", "high")] == pytest.approx(
        [other[name] for name in ("value", "low", "high")]
    )


def test_too_few_demonstrations_give_no_figure() -> None:
    assert ratio([1.0] * 4, [2] * 4)["value"] is None
