"""Ratings of models: honest intervals, win rates, groups that cannot be told apart."""

import numpy as np
import pytest

from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.judgments import TIE, A, B
from annotate.statistics.model_ratings import ModelRatings, model_ratings, win_rates
from annotate.statistics.paired_comparisons import PairedComparisons, Part

from .games import games

STRENGTH = np.array([0.85, 0.8, 0.0, -0.5, -1.2])


def test_the_order_is_by_rating_and_ratings_have_mean_zero() -> None:
    found = model_ratings(games(STRENGTH, 2000, np.random.default_rng(1)))
    values = [rating.value for rating in found.ratings]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(0, abs=1e-9)
    assert found.models[2:] == [2, 3, 4] and set(found.models[:2]) == {0, 1}
    assert all(rating.low < rating.value < rating.high for rating in found.ratings)


def test_models_too_close_to_tell_share_a_group_and_others_do_not() -> None:
    found = model_ratings(games(STRENGTH, 2000, np.random.default_rng(1)))
    assert found.groups == [(0, 1), (2, 2), (3, 3), (4, 4)]
    alike = model_ratings(games(np.zeros(4), 400, np.random.default_rng(2)))
    assert alike.groups == [(0, 3)]


@pytest.mark.slow
@pytest.mark.parametrize(("overlap", "spread"), [(1, 0.0), (3, 1.0)])
def test_intervals_hold_what_they_promise(overlap: int, spread: float) -> None:
    """400 projects of 150 items; with overlap 3, items differ and their judgments hang together."""
    random = np.random.default_rng(3)
    much = model_ratings(games(STRENGTH, 200_000, random, spread=spread))
    true = dict(zip(much.models, (rating.value for rating in much.ratings), strict=True))
    inside = [
        rating.low <= true[model] <= rating.high
        for _ in range(400)
        for model, rating in _rated(games(STRENGTH, 150, random, overlap=overlap, spread=spread))
    ]
    assert 0.93 <= np.mean(inside) <= 0.97


def test_models_that_are_alike_are_rarely_told_apart() -> None:
    random = np.random.default_rng(4)
    projects = [model_ratings(games(np.zeros(5), 150, random)) for _ in range(200)]
    assert np.mean([len(project.groups) > 1 for project in projects]) < 0.09


def _prompts(prompts: int, models: int, random: np.random.Generator) -> PairedComparisons:
    """Models that are alike; of each one response to a prompt, better or worse, and every pair of them is judged."""
    first, second = (np.tile(each, prompts) for each in np.triu_indices(models, 1))
    prompt = np.repeat(np.arange(prompts), models * (models - 1) // 2)
    quality = random.normal(0, 1.5, (prompts, models))
    ahead = random.random(prompt.size) < 1 / (1 + np.exp(quality[prompt, second] - quality[prompt, first]))
    return PairedComparisons.from_arrays(first, second, np.where(ahead, A, B), clusters=prompt)


def test_comparisons_that_share_a_response_are_not_taken_for_independent_ones() -> None:
    random = np.random.default_rng(8)
    projects = [model_ratings(_prompts(30, 8, random)) for _ in range(40)]
    inside = [rating.low <= 0 <= rating.high for project in projects for rating in project.ratings]
    assert np.mean(inside) > 0.92
    assert np.mean([len(project.groups) > 1 for project in projects]) < 0.15


def test_a_win_rate_is_as_sure_as_its_prompts_allow() -> None:
    """40 prompts with five comparisons each, all of one prompt with the same outcome: 40 trials."""
    random = np.random.default_rng(9)
    label = np.repeat(random.choice([A, B], 40), 5)
    prompt = np.repeat(np.arange(40), 5)
    pairs = PairedComparisons.from_arrays(["x"] * 200, ["y"] * 200, label, clusters=prompt)
    each, once = win_rates(pairs)[0][1], win_rates(games_of(label[::5]))[0][1]
    assert each.n == 200 and each.value == pytest.approx(once.value)
    assert each.high - each.low == pytest.approx(once.high - once.low, rel=0.08)
    assert each.low <= once.low and each.high >= once.high
    few = PairedComparisons.from_arrays(["x"] * 200, ["y"] * 200, [A] * 200, clusters=prompt // 20)
    assert win_rates(few)[0][1].low < 0.5, "two prompts say no more than two comparisons"


def games_of(label: np.ndarray) -> PairedComparisons:
    return PairedComparisons.from_arrays(["x"] * label.size, ["y"] * label.size, label)


def test_win_rates_count_items_and_give_half_for_a_tie() -> None:
    comparisons = PairedComparisons.from_arrays(
        ["x", "x", "y", "y", "z"], ["y", "y", "x", "x", "y"], [A, TIE, A, B, A], items=[0, 0, 1, 2, 3]
    )
    rates = win_rates(comparisons)
    assert rates[0][1].value == pytest.approx((0.75 + 0 + 1) / 3)
    assert rates[0][1].n == 3
    assert rates[1][0].value == pytest.approx(1 - rates[0][1].value)
    assert rates[0][2] is None and rates[0][0] is None
    assert rates[2][1].value == 1.0 and rates[2][1].low < 0.5


def test_the_matrix_follows_the_order_of_the_models() -> None:
    found = model_ratings(games(STRENGTH, 3000, np.random.default_rng(5)))
    for i in range(5):
        for j in range(i + 2, 5):
            assert found.win_rates[i][j].value > 0.5 > found.win_rates[j][i].value


def test_effects_come_with_their_interval() -> None:
    random = np.random.default_rng(6)
    position = random.choice([-1.0, 1.0], 4000)
    found = model_ratings(games(STRENGTH, 4000, random, effects={"position": (0.3, position)}))
    assert found.effects["position"].low < 0.3 < found.effects["position"].high
    assert found.effects["position"].low > 0.1


def test_a_model_that_wins_everything_has_win_rates_but_no_rating() -> None:
    comparisons = PairedComparisons.from_arrays(["x"] * 9, ["y"] * 9, [A] * 9)
    assert model_ratings(comparisons) == Undefined(Reason.SEPARATED)
    assert win_rates(comparisons)[0][1].value == 1.0


def _rated(comparisons: PairedComparisons) -> list:
    found = model_ratings(comparisons)
    assert isinstance(found, ModelRatings)
    return list(zip(found.models, found.ratings, strict=True))


def test_the_parts_say_who_stands_in_the_way_of_ratings() -> None:
    chain = PairedComparisons.from_arrays(["x", "y", "y", "z"], ["y", "z", "w", "y"], [A, A, A, A])
    assert chain.parts() == [
        Part(["w"], wins=False, losses=True),
        Part(["y", "z"], wins=True, losses=True),
        Part(["x"], wins=True, losses=False),
    ]
    islands = PairedComparisons.from_arrays(["a", "c"], ["b", "d"], [TIE, TIE])
    assert islands.parts() == [Part(["a", "b"], False, False), Part(["c", "d"], False, False)]
    assert len(PairedComparisons.from_arrays(["x", "x"], ["y", "y"], [A, B]).parts()) == 1
    assert PairedComparisons.from_arrays([], [], []).parts() == []
