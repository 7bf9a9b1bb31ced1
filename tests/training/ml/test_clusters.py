"""Intervals of pairs that share a prompt: simulated, by hand, and where nothing is shared the ones that were there."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from scipy.special import expit
from scipy.stats import t as student

from tests.training.ml.held_out import held_out
from training.ml.calibration import calibration
from training.ml.evaluate import evaluate_reward
from training.ml.intervals import clusters_of, mean, proportion, ratio, share_of, wins
from training.ml.reward_losses import threshold_for
from training.ml.tie_parameter import TieParameter
from training.recipes.reward import RewardConfig

pytestmark = pytest.mark.not_db


def test_prompts_are_the_units_where_some_are_shared_and_there_are_enough_of_them() -> None:
    assert clusters_of([[1], [2], [3], [4], [5], [6]]) is None
    assert clusters_of([[1], [1], [2], [3], [4], [5]]) == [(1,), (1,), (2,), (3,), (4,), (5,)]
    assert clusters_of([[1], [1], [2], [3], [4]]) is None, "of so few prompts nothing follows for others"


@given(some.lists(some.tuples(some.integers(0, 7), some.sampled_from([0.0, 0.5, 1.0])), min_size=5, max_size=60))
def test_what_hangs_together_is_never_surer_than_what_does_not(rows: list[tuple[int, float]]) -> None:
    clusters, hits = zip(*rows, strict=True)
    alone, found = proportion(sum(hits), len(hits)), share_of(hits, clusters)
    if found["value"] is None:
        assert len(set(clusters)) == 1
        return
    assert found["value"] == pytest.approx(alone["value"]) and found["n"] == len(hits)
    assert 0 <= found["low"] <= alone["low"] + 1e-12 and alone["high"] - 1e-12 <= found["high"] <= 1


@given(some.lists(some.sampled_from([0.0, 0.5, 1.0]), max_size=40))
def test_where_nothing_is_shared_the_interval_is_wilsons(hits: list[float]) -> None:
    assert share_of(hits, range(len(hits))) == proportion(sum(hits), len(hits))


def test_the_effect_of_the_design_by_hand() -> None:
    """Twelve prompts of two pairs that always agree: as uncertain as eleven pairs, by Student's quantile for eleven."""
    hits, clusters = [1.0, 1.0] * 8 + [0.0, 0.0] * 4, [number // 2 for number in range(24)]
    effect = 2 * 12 / 11  # deviations 2 - 4/3 and -4/3, each 3/2 of the binomial's; m / (m - 1)
    variance = (8 * (2 / 3) ** 2 + 4 * (4 / 3) ** 2) * 12 / 11 / 24**2
    assert variance / (2 / 9 / 24) == pytest.approx(effect)
    independent = 24 / effect * (1.959963984540054 / student.ppf(0.975, 11)) ** 2
    expected = proportion(2 / 3 * independent, independent)
    found = share_of(hits, clusters)
    assert (found["low"], found["high"]) == pytest.approx((expected["low"], expected["high"]))
    assert found["clusters"] == 12


def test_a_mean_over_units_is_a_ratio_of_sums() -> None:
    values, clusters = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0, 0, 1, 2, 3, 4, 4]
    by_cluster = ratio([3.0, 3.0, 4.0, 5.0, 13.0], [2, 1, 1, 1, 2])
    assert mean(values, clusters) == {**by_cluster, "n": 7, "clusters": 5}
    assert mean(values, range(7)) == mean(values)


@pytest.mark.parametrize(("prompts", "responses", "spread"), [(60, 4, 0.0), (50, 4, 1.0), (30, 6, 1.0)])
def test_the_interval_of_ranked_responses_covers_the_accuracy(prompts: int, responses: int, spread: float) -> None:
    """Responses with a true quality, a score that is off by an error of its own, and prompts on which the score is
    better or worse. Pair by pair the interval covers 77 to 93 %."""
    random = numpy.random.default_rng(0)
    pairs = [(i, j) for i in range(responses) for j in range(i)]

    def drawn(count: int) -> tuple[list[float], list[int]]:
        quality = random.normal(size=(count, responses))
        error = random.normal(size=(count, responses)) * numpy.exp(spread * random.normal(size=(count, 1)))
        score = quality + error
        margins, clusters = [], []
        for prompt in range(count):
            for i, j in pairs:
                first = random.random() < expit(quality[prompt, i] - quality[prompt, j])
                margins.append((score[prompt, i] - score[prompt, j]) * (1 if first else -1))
                clusters.append(prompt)
        return margins, clusters

    truth = wins(drawn(20_000)[0])["value"]
    covered = [figure["low"] <= truth <= figure["high"] for figure in (wins(*drawn(prompts)) for _ in range(300))]
    assert 0.92 <= numpy.mean(covered) <= 0.985


def test_copies_of_a_pair_make_no_calibration_surer() -> None:
    """Every pair five times: the error is the same, and its interval as wide as that of the pairs once."""
    random = numpy.random.default_rng(3)
    true = numpy.abs(random.normal(0, 1.5, 120))
    margins = list(numpy.where(random.random(120) < expit(true), 1, -1) * true * 2)
    once, copied = calibration(margins), calibration(margins * 5, list(range(120)) * 5)
    taken_for_more = calibration(margins * 5)

    def width(found: dict) -> float:
        return found["brier"]["high"] - found["brier"]["low"]

    assert copied["ece"]["value"] == pytest.approx(taken_for_more["ece"]["value"])
    assert width(copied) == pytest.approx(width(once), rel=0.01) and width(taken_for_more) < 0.5 * width(once)
    assert copied["ece"]["high"] > taken_for_more["ece"]["high"]


def test_a_reward_models_figures_are_over_prompts() -> None:
    pairs = [held_out(f"p{i}", prompt_ids=[5 + i // 4], chosen="long one", rejected="s") for i in range(48)]
    figures = evaluate_reward(lambda batch: (torch.ones(len(batch)), torch.zeros(len(batch))), pairs, 8)
    for name in ("accuracy", "accuracy_longer_wins", "margin", "loss"):
        assert (figures[name]["n"], figures[name]["clusters"]) == (48, 12), name
    assert figures["accuracy"]["low"] < proportion(48, 48)["low"]
    alone = [held_out(f"p{i}", prompt_ids=[5 + i], chosen="long one", rejected="s") for i in range(48)]
    figures = evaluate_reward(lambda batch: (torch.ones(len(batch)), torch.zeros(len(batch))), alone, 8)
    assert figures["accuracy"] == proportion(48, 48)


def test_a_likelihood_with_ties_is_calibrated_by_its_own_odds() -> None:
    """Outcomes drawn from Rao and Kupper's own probabilities: by the margin alone it would be taken for unsure."""
    ties = TieParameter(0.5, RewardConfig(ties="rao_kupper"))
    random = numpy.random.default_rng(5)
    differences = random.normal(0, 1.5, 6000)
    chances = ties.log_probabilities(torch.tensor(differences)).detach().exp().numpy()
    outcomes = numpy.array([random.choice(3, p=row / row.sum()) for row in chances])
    signed = numpy.where(outcomes == 0, differences, -differences)[outcomes != 1]
    own = calibration(ties.log_odds(torch.tensor(signed)).tolist())
    assert own["ece"]["low"] == 0 and own["ece"]["value"] < own["ece_if_calibrated"]["high"]
    assert calibration(list(signed))["ece"]["low"] > 0.02
    theta = torch.tensor(threshold_for(0.5))
    by_hand = torch.sigmoid(1.0 - theta) / (torch.sigmoid(1.0 - theta) + torch.sigmoid(-1.0 - theta))
    assert ties.log_odds(torch.tensor(1.0)).sigmoid().item() == pytest.approx(by_hand.item(), abs=1e-6)
    davidson = TieParameter(0.5, RewardConfig(ties="davidson"))
    assert davidson.log_odds(torch.tensor(1.3)).item() == pytest.approx(1.3, abs=1e-6)
