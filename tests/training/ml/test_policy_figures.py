"""Held-out figures of a policy: margins and a KL computed the long way round."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.training.ml.references import reference_of
from training.ml.dpo import direct_preference
from training.ml.pairs import Pair
from training.ml.policy_figures import per_token_kl, preference_figures
from training.ml.token_logps import both_sides
from training.recipes.dpo import DPOConfig


def varied(n: int = 7) -> list[Pair]:
    """Pairs of every length, so that batches are padded."""
    return [
        Pair(f"p{i}", [], "aa", "b", [5 + i] * (1 + i), [20 + i] * (i % 3 + 1) + [2], [9] * i + [2]) for i in range(n)
    ]


def jittered(base: Path, scale: float = 0.02) -> Any:
    torch.manual_seed(4)
    model = AutoModelForCausalLM.from_pretrained(base)
    for weight in model.parameters():
        weight.data += scale * torch.randn_like(weight)
    return model.eval()


def figures_of(policy: Any, start: Any, pairs: list[Pair], directory: Path, **settings: Any) -> dict[str, Any]:
    reference = reference_of(start, both_sides(pairs), directory)
    objective = direct_preference(policy, reference, DPOConfig(**settings))
    return preference_figures(policy, lambda: nullcontext(start), objective, pairs, 2)


def test_an_unchanged_policy_has_no_divergence_and_no_margin(fixture_model: Path, tmp_path: Path) -> None:
    model = jittered(fixture_model)
    figures = figures_of(model, model, varied(), tmp_path)
    assert figures["kl"]["value"] == pytest.approx(0.0, abs=1e-7)
    assert figures["margin"]["value"] == pytest.approx(0.0, abs=1e-5)
    assert figures["loss"]["value"] == pytest.approx(0.693147, abs=1e-5)


def test_the_divergence_is_that_of_the_definition(fixture_model: Path) -> None:
    policy, start = jittered(fixture_model, 0.05), jittered(fixture_model, 0.0)
    sequences = [(pair.prompt_ids, pair.chosen_ids) for pair in varied()]
    found = per_token_kl(policy, lambda: nullcontext(start), sequences)
    # Each sequence alone, in float64.
    expected = []
    for prompt, completion in sequences:
        ids = torch.tensor([prompt + completion])
        with torch.no_grad():
            p, q = (model(ids).logits[0, :-1].double().log_softmax(dim=-1) for model in (policy, start))
        expected.append((p.exp() * (p - q)).sum(dim=-1)[len(prompt) - 1 :].mean().item())
    assert found == pytest.approx(expected, rel=1e-3)
    assert min(found) > 1e-3


def test_the_margin_is_beta_times_the_difference_of_the_log_ratios(fixture_model: Path, tmp_path: Path) -> None:
    policy, start = jittered(fixture_model, 0.05), jittered(fixture_model, 0.0)
    pairs = varied()

    def log_chance(model: Any, one: Pair, completion: list[int]) -> float:
        ids = torch.tensor([one.prompt_ids + completion])
        with torch.no_grad():
            chances = model(ids).logits[0, :-1].log_softmax(dim=-1).gather(1, ids[0, 1:, None])[:, 0]
        return chances[len(one.prompt_ids) - 1 :].sum().item()

    def ratio(one: Pair, completion: list[int]) -> float:
        return log_chance(policy, one, completion) - log_chance(start, one, completion)

    margins = [0.3 * (ratio(one, one.chosen_ids) - ratio(one, one.rejected_ids)) for one in pairs]
    figures = figures_of(policy, start, pairs, tmp_path, beta=0.3)
    assert figures["margin"]["value"] == pytest.approx(sum(margins) / len(margins), abs=1e-4)
    assert figures["accuracy"]["value"] == sum(margin > 0 for margin in margins) / len(margins)
