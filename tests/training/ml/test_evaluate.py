"""Held-out figures: intervals against known values, baselines, ties, and a KL computed the long way round."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from training.ml.evaluate import evaluate_policy, evaluate_reward, headline, per_token_kl, wins
from training.ml.intervals import mean, proportion
from training.ml.pairs import Pair


def pair(name: str, chosen: str = "aa", rejected: str = "b", **ids: list[int]) -> Pair:
    return Pair(name, [], chosen, rejected, **({"prompt_ids": [5], "chosen_ids": [6, 2], "rejected_ids": [7, 2]} | ids))


def varied(n: int = 7) -> list[Pair]:
    """Pairs of every length, so that batches are padded."""
    return [
        pair(f"p{i}", prompt_ids=[5 + i] * (1 + i), chosen_ids=[20 + i] * (i % 3 + 1) + [2], rejected_ids=[9] * i + [2])
        for i in range(n)
    ]


def jittered(base: Path, scale: float = 0.02) -> Any:
    torch.manual_seed(4)
    model = AutoModelForCausalLM.from_pretrained(base)
    for weight in model.parameters():
        weight.data += scale * torch.randn_like(weight)
    return model.eval()


def test_the_interval_of_a_proportion_is_wilsons() -> None:
    # Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29.
    published = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
    for successes, n, low, high in published:
        found = proportion(successes, n)
        assert (found["low"], found["high"]) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_of_a_mean_is_students() -> None:
    found = mean([1.0, 2.0, 3.0, 4.0, 5.0])
    # t(0.975, 4) = 2.776445, standard deviation sqrt(2.5)
    assert found["value"] == 3.0
    assert found["high"] - 3.0 == pytest.approx(2.776445 * (2.5**0.5) / 5**0.5, abs=1e-5)
    assert found["n"] == 5


@pytest.mark.parametrize("n", [0, 1, 4])
def test_too_few_values_give_null_with_a_reason(n: int) -> None:
    for found in (mean([1.0] * n), proportion(n, n)):
        assert (found["value"], found["low"], found["high"], found["n"]) == (None, None, None, n)
        assert f"Only {n} " in found["reason"]


def test_a_tie_counts_half() -> None:
    assert wins([0.0] * 10)["value"] == 0.5
    assert wins([1.0, -1.0, 0.0, 2.0, 3.0, -0.5, 0.0, 1.0])["value"] == (4 + 1) / 8


def test_the_baselines_stand_beside_the_accuracy() -> None:
    pairs = [pair(f"p{i}", chosen="long one" if i < 6 else "s", rejected="middle") for i in range(8)]
    figures = evaluate_reward(lambda batch: (torch.ones(len(batch)), torch.zeros(len(batch))), pairs, 3)
    assert figures["accuracy"]["value"] == 1.0
    assert figures["accuracy_longer_wins"]["value"] == 0.75
    assert figures["accuracy_chance"]["value"] == 0.5
    assert figures["accuracy_chance"]["low"] < 0.25
    assert figures["margin"]["value"] == 1.0
    assert figures["loss"]["value"] == pytest.approx(0.313262, abs=1e-6)


def test_a_constant_score_is_no_better_than_chance() -> None:
    figures = evaluate_reward(lambda batch: (torch.zeros(len(batch)),) * 2, varied(), 3)
    assert figures["accuracy"]["value"] == 0.5


def test_an_unchanged_policy_has_no_divergence_and_no_margin(fixture_model: Path) -> None:
    model = jittered(fixture_model)
    figures = evaluate_policy(model, lambda: nullcontext(model), varied(), beta=0.1, batch_size=3)
    assert figures["kl"]["value"] == pytest.approx(0.0, abs=1e-7)
    assert figures["margin"]["value"] == 0.0
    assert figures["accuracy"]["value"] == 0.5


def test_the_divergence_is_that_of_the_definition(fixture_model: Path) -> None:
    policy, reference = jittered(fixture_model, 0.05), jittered(fixture_model, 0.0)
    found = per_token_kl(policy, lambda: nullcontext(reference), pairs := varied())
    # Batches are sorted by length, and so are the values; each pair alone, in float64, in that order.
    expected = []
    for one in sorted(pairs, key=lambda p: p.length):
        ids = torch.tensor([one.prompt_ids + one.chosen_ids])
        with torch.no_grad():
            p, q = (model(ids).logits[0, :-1].double().log_softmax(dim=-1) for model in (policy, reference))
        expected.append((p.exp() * (p - q)).sum(dim=-1)[len(one.prompt_ids) - 1 :].mean().item())
    assert found == pytest.approx(expected, rel=1e-3)
    assert min(found) > 1e-3


def test_the_margin_is_beta_times_the_difference_of_the_log_ratios(fixture_model: Path) -> None:
    policy, reference = jittered(fixture_model, 0.05), jittered(fixture_model, 0.0)
    pairs = varied()

    def log_chance(model: Any, one: Pair, completion: list[int]) -> float:
        ids = torch.tensor([one.prompt_ids + completion])
        with torch.no_grad():
            chances = model(ids).logits[0, :-1].log_softmax(dim=-1).gather(1, ids[0, 1:, None])[:, 0]
        return chances[len(one.prompt_ids) - 1 :].sum().item()

    def ratio(one: Pair, completion: list[int]) -> float:
        return log_chance(policy, one, completion) - log_chance(reference, one, completion)

    margins = [0.3 * (ratio(one, one.chosen_ids) - ratio(one, one.rejected_ids)) for one in pairs]
    figures = evaluate_policy(policy, lambda: nullcontext(reference), pairs, beta=0.3, batch_size=2)
    assert figures["margin"]["value"] == pytest.approx(sum(margins) / len(margins), abs=1e-4)
    assert figures["accuracy"]["value"] == sum(margin > 0 for margin in margins) / len(margins)


def test_the_headline_is_plain_numbers() -> None:
    assert headline({"accuracy": proportion(8, 10), "kl": mean([]), "samples": []}) == {"accuracy": 0.8, "kl": None}
