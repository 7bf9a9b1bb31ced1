"""Raw agreement: published shares, the three readings of a tie, and what is not defined."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Outcome, Reason, Undefined
from annotate.statistics.intervals import wilson_interval
from annotate.statistics.raw_agreement import TIE_RULES, TieRule, raw_agreement

from . import published, simulated
from .same import same
from .tables import MISSING, judgments_of, raters_by_items

FEW = 20


@pytest.mark.parametrize("table", ["cohen_wikipedia", "feinstein_cicchetti_1", "feinstein_cicchetti_2"])
def test_the_agreement_of_two_annotators_is_the_published_one(table: str) -> None:
    entry = published.entry(table)
    counts = count_matrix(published.judgments_of_crosstable(entry["table"]))
    assert raw_agreement(counts, replicates=FEW).value == pytest.approx(entry["published"]["po"], abs=1e-9)


@pytest.mark.parametrize("name", ["comparisons_convarg", "comparisons_mqm_zhen"])
def test_the_agreement_of_the_comparison_files_is_the_stated_one(name: str) -> None:
    entry = published.entry(name)
    estimate = raw_agreement(count_matrix(published.judgments_of_file(entry["file"])))
    assert estimate.value == pytest.approx(entry["recomputed"]["mean_pairwise_agreement"], abs=entry["tol"])
    assert estimate.n == entry["recomputed"]["rows"]


def test_two_votes_for_a_and_one_tie_are_read_in_three_ways() -> None:
    counts = [[2, 1, 0]] * 2
    values = {rule: raw_agreement(counts, rule).value for rule in TIE_RULES}
    assert values == pytest.approx({"ties_as_class": 1 / 3, "ties_excluded": 1.0, "ties_half": 2 / 3})


def test_the_chance_of_raw_agreement_is_the_credit_of_two_labels_drawn_from_all() -> None:
    counts = [[2, 1, 0], [0, 1, 2]]
    chances = {rule: raw_agreement(counts, rule, replicates=FEW).chance for rule in TIE_RULES}
    assert chances == pytest.approx({"ties_as_class": 1 / 3, "ties_excluded": 1 / 2, "ties_half": 1 / 3 + 2 / 9})


def test_an_item_with_more_judgments_has_more_pairs() -> None:
    assert raw_agreement([[4, 0, 0], [1, 0, 1]]).value == pytest.approx(6 / 7)


@given(raters_by_items(), st.sampled_from(TIE_RULES))
def test_agreement_is_the_mean_credit_of_all_pairs(table: np.ndarray, rule: TieRule) -> None:
    outcome = _agreement(table, rule)
    credits = _credits_by_pairs(table, rule)
    if isinstance(outcome, Undefined):
        assert sum(bool(earned) for earned in credits) < 2
    else:
        assert outcome.value == pytest.approx(np.mean([credit for earned in credits for credit in earned]))
        assert outcome.n == sum(bool(earned) for earned in credits)
        assert 0 <= outcome.low <= outcome.high <= 1


@given(raters_by_items(), st.randoms(use_true_random=False), st.sampled_from(TIE_RULES))
def test_the_order_of_items_and_annotators_does_not_matter(table: np.ndarray, random: object, rule: TieRule) -> None:
    order = np.random.default_rng(random.getrandbits(32))
    shuffled = order.permutation(order.permutation(table, axis=0), axis=1)
    assert same(_agreement(table, rule), _agreement(shuffled, rule))


@given(raters_by_items(), st.sampled_from(TIE_RULES))
def test_swapping_a_and_b_changes_nothing(table: np.ndarray, rule: TieRule) -> None:
    swapped = np.where(table == MISSING, MISSING, 2 - table)
    one, other = _agreement(table, rule), _agreement(swapped, rule)
    if isinstance(one, Undefined):
        assert one == other
    else:
        assert (one.value, one.n) == (pytest.approx(other.value), other.n)


@given(raters_by_items(), st.permutations(range(3)))
def test_ties_as_a_class_do_not_know_the_names_of_the_categories(table: np.ndarray, names: list[int]) -> None:
    renamed = np.where(table == MISSING, MISSING, np.array(names)[table])
    one, other = _agreement(table, "ties_as_class"), _agreement(renamed, "ties_as_class")
    assert getattr(one, "value", one) == getattr(other, "value", other)


@pytest.mark.parametrize("rule", TIE_RULES)
def test_copies_agree_completely_with_the_doubt_of_wilson(rule: TieRule) -> None:
    outcome = raw_agreement([[3, 0, 0], [0, 0, 3]] * 5, rule)
    assert (outcome.value, outcome.low, outcome.high) == (1.0, *wilson_interval(10, 10))
    assert outcome.low < 0.75


def test_independent_annotators_agree_as_often_as_chance_says() -> None:
    counts = simulated.votes(20_000, np.random.default_rng(1), knows=0.0)
    chance = sum(share**2 for share in simulated.BASE_RATE)
    outcome = raw_agreement(counts)
    assert outcome.low < chance < outcome.high


@pytest.mark.parametrize(
    ("counts", "rule", "reason"),
    [
        (np.zeros((0, 3)), "ties_as_class", Reason.NO_JUDGMENTS),
        ([[1, 0, 0], [0, 0, 1]], "ties_as_class", Reason.NO_OVERLAP),
        ([[2, 0, 1]], "ties_half", Reason.ONE_ITEM),
        ([[0, 3, 0], [0, 2, 0]], "ties_excluded", Reason.NO_DECIDED_PAIR),
        ([[2, 0, 0], [1, 2, 0]], "ties_excluded", Reason.ONE_ITEM),
    ],
)
def test_what_cannot_be_said_is_undefined_with_a_reason(counts: object, rule: TieRule, reason: Reason) -> None:
    assert raw_agreement(counts, rule) == Undefined(reason)


def test_rules_for_ties_need_the_three_choices() -> None:
    with pytest.raises(ValueError, match="the counts have 2 categories"):
        raw_agreement([[1, 1], [2, 0]], "ties_half")
    with pytest.raises(ValueError, match="Unknown rule for ties: 'ignored'"):
        raw_agreement([[1, 0, 1], [2, 0, 0]], "ignored")


def _agreement(table: np.ndarray, rule: TieRule) -> Outcome:
    return raw_agreement(count_matrix(judgments_of(table)), rule, replicates=FEW)


def _credits_by_pairs(table: np.ndarray, rule: TieRule) -> list[list[float]]:
    units = [column[column != MISSING].tolist() for column in table.T]
    if rule == "ties_excluded":
        units = [[label for label in unit if label != 1] for unit in units]
    half = 0.5 if rule == "ties_half" else 0.0
    return [[1.0 if x == y else half * (1 in (x, y)) for x, y in combinations(unit, 2)] for unit in units]
