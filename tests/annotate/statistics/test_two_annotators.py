"""Cohen's kappa and Scott's pi: published tables, definitions, properties, and what is not defined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.statistics.agreement_weights import Weights
from annotate.statistics.cohen_kappa import cohen_kappa
from annotate.statistics.counts import crosstable
from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.judgments import Judgments
from annotate.statistics.kappa_of_pairs import cohen_kappa_of_pairs
from annotate.statistics.scott_pi import scott_pi

from . import definitions, published
from .anxiety import RATINGS
from .tables import judgments_of, raters_by_items

FEW = 20
LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30)
WEIGHTS: dict[Weights, definitions.Weight] = {
    "identity": definitions.same,
    "linear": lambda x, y: 1 - abs(x - y) / 3,
    "quadratic": lambda x, y: 1 - ((x - y) / 3) ** 2,
}


@pytest.mark.parametrize("table", ["cohen_wikipedia", "feinstein_cicchetti_1", "feinstein_cicchetti_2"])
def test_kappa_and_pi_are_the_published_ones(table: str) -> None:
    entry = published.entry(table)
    kappa, pi = cohen_kappa(entry["table"]), scott_pi(entry["table"])
    assert kappa.value == pytest.approx(entry["published"]["kappa"], abs=entry["tol"])
    assert kappa.value == pytest.approx(entry["recomputed"]["kappa"], abs=1e-6)
    assert pi.value == pytest.approx(entry["recomputed"]["scott_pi"], abs=1e-6)
    assert kappa.low < kappa.value < kappa.high
    assert kappa.n == np.sum(entry["table"])


def test_the_chance_of_kappa_is_the_product_of_the_shares() -> None:
    assert cohen_kappa([[20, 5], [10, 15]]).chance == pytest.approx(0.5)


def test_weighted_kappa_of_the_anxiety_ratings_is_that_of_irr() -> None:
    """kappa2(anxiety[,1:2], "squared") of the R package irr prints 0.297."""
    table = crosstable(RATINGS[:, 0] - 1, RATINGS[:, 1] - 1, categories=6)
    assert cohen_kappa(table, "quadratic", replicates=FEW).value == pytest.approx(0.297, abs=5e-4)


@given(LABELS, st.sampled_from(sorted(WEIGHTS)))
def test_kappa_is_its_definition_over_all_pairs_of_labels(pairs: list[tuple[int, int]], weights: Weights) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    outcome = cohen_kappa(crosstable(first, second, categories=4), weights, replicates=FEW)
    if isinstance(outcome, Undefined):
        assert len(set(first + second)) == 1
    else:
        assert outcome.value == pytest.approx(definitions.cohen(first, second, WEIGHTS[weights]), abs=1e-9)


@given(LABELS)
def test_pi_is_its_definition_over_all_pairs_of_labels(pairs: list[tuple[int, int]]) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    outcome = scott_pi(crosstable(first, second, categories=4), replicates=FEW)
    if isinstance(outcome, Undefined):
        assert len(set(first + second)) == 1
    else:
        assert outcome.value == pytest.approx(definitions.scott(first, second), abs=1e-9)


@given(LABELS, st.sampled_from(sorted(WEIGHTS)))
def test_swapping_the_annotators_or_the_ends_of_the_scale_changes_nothing(
    pairs: list[tuple[int, int]], weights: Weights
) -> None:
    table = crosstable(*zip(*pairs, strict=True), categories=4)
    for other in (table.T, table[::-1, ::-1]):
        for coefficient in (lambda cells: cohen_kappa(cells, weights, replicates=FEW), scott_pi):
            one, changed = coefficient(table), coefficient(other)
            assert getattr(one, "value", one) == pytest.approx(getattr(changed, "value", changed), abs=1e-9)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30), st.sampled_from(sorted(WEIGHTS)))
def test_a_copy_agrees_completely_but_not_beyond_doubt(labels: list[int], weights: Weights) -> None:
    outcome = cohen_kappa(crosstable(labels, labels, categories=4), weights, replicates=FEW)
    if len(set(labels)) == 1:
        assert outcome == Undefined(Reason.ONE_CATEGORY)
    else:
        assert (outcome.value, outcome.high) == (pytest.approx(1.0), pytest.approx(1.0))
        assert outcome.low < 1


def test_independent_annotators_with_other_habits_have_kappa_near_zero() -> None:
    random = np.random.default_rng(1)
    first, second = random.choice(3, 20_000, p=(0.7, 0.2, 0.1)), random.choice(3, 20_000, p=(0.2, 0.2, 0.6))
    table = crosstable(first, second, categories=3)
    assert abs(cohen_kappa(table).value) < 0.02
    assert scott_pi(table).value < -0.1


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([[0, 0], [0, 0]], Reason.NO_OVERLAP),
        ([[9, 0], [0, 0]], Reason.ONE_CATEGORY),
        ([[0, 1], [0, 0]], Reason.ONE_ITEM),
    ],
)
def test_what_cannot_be_said_is_undefined_with_a_reason(table: list[list[int]], reason: Reason) -> None:
    assert cohen_kappa(table) == scott_pi(table) == Undefined(reason)


def test_a_crosstable_is_square() -> None:
    with pytest.raises(ValueError, match=r"same labels in its rows and columns, got the shape \(1, 2\)"):
        cohen_kappa([[1, 2]])


@given(raters_by_items())
def test_every_pair_with_enough_common_items_has_the_kappa_of_its_labels(table: np.ndarray) -> None:
    for pair in cohen_kappa_of_pairs(judgments_of(table), least_common=2, replicates=FEW):
        both = (table[pair.first] >= 0) & (table[pair.second] >= 0)
        assert pair.n_common == both.sum() >= 2
        if not isinstance(pair.kappa, Undefined):
            expected = definitions.cohen(table[pair.first, both].tolist(), table[pair.second, both].tolist())
            assert pair.kappa.value == pytest.approx(expected, abs=1e-9)


def test_pairs_with_few_common_items_are_left_out() -> None:
    table = np.array([[0, 1, 2] * 5, [0, 1, 2] * 5, [0, 1] + [-1] * 13])
    assert [(pair.first, pair.second) for pair in cohen_kappa_of_pairs(judgments_of(table))] == [(0, 1)]


def test_of_too_many_pairs_those_with_most_in_common_are_taken() -> None:
    items = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3]
    judgments = Judgments.from_arrays(items, [0] * 5 + [1] * 5 + [2] * 4, [n % 2 for n in range(14)])
    for most, expected in ((0, []), (1, [(0, 1)]), (2, [(0, 1), (0, 2)]), (9, [(0, 1), (0, 2), (1, 2)])):
        found = cohen_kappa_of_pairs(judgments, least_common=1, most_pairs=most, replicates=FEW)
        assert [(pair.first, pair.second) for pair in found] == expected
