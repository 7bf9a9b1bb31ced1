"""Fleiss' kappa, Gwet's AC1 and AC2, Brennan-Prediger, Conger: published values, definitions and properties."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.statistics.agreement_weights import WEIGHTS, Weights, weight_matrix
from annotate.statistics.brennan_prediger import brennan_prediger
from annotate.statistics.conger_kappa import conger_kappa
from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.fleiss_kappa import fleiss_kappa, fleiss_kappa_per_category
from annotate.statistics.gwet_ac import gwet_ac1, gwet_ac2
from annotate.statistics.judgments import Judgments

from . import definitions, published, simulated
from .same import same
from .tables import MISSING, judgments_of, raters_by_items

FEW = 20
OF_JUDGMENTS: dict[str, Callable[..., Outcome]] = {
    "fleiss": lambda judgments, **how: fleiss_kappa(count_matrix(judgments), **how),
    "ac1": lambda judgments, **how: gwet_ac1(count_matrix(judgments), **how),
    "ac2": lambda judgments, **how: gwet_ac2(count_matrix(judgments), "quadratic", **how),
    "brennan": lambda judgments, **how: brennan_prediger(count_matrix(judgments), **how),
    "conger": conger_kappa,
}
DEFINED = {
    "fleiss": definitions.fleiss,
    "ac1": definitions.gwet,
    "brennan": definitions.brennan_prediger,
    "conger": definitions.conger,
}
NAMES = st.sampled_from(sorted(OF_JUDGMENTS))


@pytest.mark.parametrize(
    ("name", "key"),
    [("fleiss", "fleiss_kappa_gwet"), ("ac1", "gwet_ac1"), ("brennan", "brennan_prediger"), ("conger", "conger")],
)
def test_four_raters_with_missing_values_have_gwets_coefficients(name: str, key: str) -> None:
    entry = published.entry("krippendorff2011_C")
    outcome = OF_JUDGMENTS[name](published.judgments_of_table(entry["raters_by_units"]))
    assert outcome.value == pytest.approx(entry["recomputed"][key], abs=6e-6)
    assert outcome.n == 11
    assert outcome.low < outcome.value < outcome.high


@pytest.mark.parametrize(
    ("weights", "value"),
    [("linear", 0.8587391), ("quadratic", 0.9140007), ("ordinal", 0.8989398), ("ratio", 0.8573676)],
)
def test_ac2_of_four_raters_is_that_of_irrcac(weights: Weights, value: float) -> None:
    """Computed with irrCAC 0.4.4, the categories given."""
    entry = published.entry("krippendorff2011_C")
    counts = count_matrix(published.judgments_of_table(entry["raters_by_units"]))
    assert gwet_ac2(counts, weights, replicates=FEW).value == pytest.approx(value, abs=1e-7)


def test_fleiss_kappa_is_the_worked_example() -> None:
    entry = published.entry("fleiss_wikipedia")
    outcome = fleiss_kappa(entry["counts"])
    assert outcome.value == pytest.approx(entry["recomputed"]["fleiss_kappa"], abs=1e-6)
    assert outcome.chance == pytest.approx(0.213, abs=5e-4)


def test_fleiss_kappa_of_the_mqm_file_is_the_stated_one() -> None:
    entry = published.entry("comparisons_mqm_zhen")
    outcome = fleiss_kappa(count_matrix(published.judgments_of_file(entry["file"])))
    assert outcome.value == pytest.approx(entry["recomputed"]["fleiss_kappa"], abs=entry["tol"])
    assert outcome.n == entry["recomputed"]["rows"]


@pytest.mark.parametrize("table", ["cohen_wikipedia", "feinstein_cicchetti_1", "feinstein_cicchetti_2"])
def test_ac1_stays_high_where_one_label_is_frequent(table: str) -> None:
    entry = published.entry(table)
    counts = count_matrix(published.judgments_of_crosstable(entry["table"]))
    assert gwet_ac1(counts).value == pytest.approx(entry["recomputed"]["gwet_ac1"], abs=1e-6)
    assert fleiss_kappa(counts).value == pytest.approx(entry["recomputed"]["scott_pi"], abs=1e-6)


def test_kappa_per_category_is_fleiss_formula() -> None:
    counts = np.array(published.entry("fleiss_wikipedia")["counts"])
    items, m = counts.shape[0], counts[0].sum()
    share = counts.sum(axis=0) / counts.sum()
    expected = 1 - (counts * (m - counts)).sum(axis=0) / (items * m * (m - 1) * share * (1 - share))
    found = fleiss_kappa_per_category(counts, replicates=FEW)
    assert [outcome.value for outcome in found] == pytest.approx(expected, abs=1e-12)


def test_a_label_that_nobody_used_has_no_kappa_of_its_own() -> None:
    found = fleiss_kappa_per_category([[2, 0, 0], [1, 0, 1], [0, 0, 2]], replicates=FEW)
    assert found[1] == Undefined(Reason.UNUSED_LABEL)
    assert same(found[0], found[2])


@given(raters_by_items(), st.sampled_from(sorted(DEFINED)))
def test_coefficients_are_their_definitions_judgment_by_judgment(table: np.ndarray, name: str) -> None:
    outcome = OF_JUDGMENTS[name](judgments_of(table), replicates=FEW)
    if isinstance(outcome, Estimate):
        assert outcome.value == pytest.approx(DEFINED[name](table), abs=1e-9)
        assert outcome.low <= outcome.high <= 1 + 1e-9
        assert 0 <= outcome.chance < 1
    else:
        assert outcome.reason in list(Reason)


@given(raters_by_items(categories=4), st.sampled_from(["linear", "quadratic", "ordinal", "ratio"]))
def test_ac2_is_its_definition_in_all_weights(table: np.ndarray, weights: Weights) -> None:
    outcome = gwet_ac2(count_matrix(judgments_of(table, 4)), weights, replicates=FEW)
    if isinstance(outcome, Undefined):
        return
    used = sorted(set(table[table != MISSING].tolist()))
    matrix = weight_matrix(weights, np.array(used, dtype=float))
    expected = definitions.gwet(table, lambda x, y: matrix[used.index(x), used.index(y)])
    assert outcome.value == pytest.approx(expected, abs=1e-9)


@given(raters_by_items(), st.randoms(use_true_random=False), NAMES)
def test_the_order_of_items_and_annotators_does_not_matter(table: np.ndarray, random: object, name: str) -> None:
    order = np.random.default_rng(random.getrandbits(32))
    shuffled = order.permutation(order.permutation(table, axis=0), axis=1)
    one, other = (OF_JUDGMENTS[name](judgments_of(each), replicates=FEW) for each in (table, shuffled))
    _same_value(one, other)


@given(raters_by_items(), st.permutations(range(3)), st.sampled_from(sorted(DEFINED)))
def test_nominal_coefficients_do_not_know_the_names_of_the_labels(
    table: np.ndarray, names: list[int], name: str
) -> None:
    renamed = np.where(table == MISSING, MISSING, np.array(names)[table])
    _same_value(*(OF_JUDGMENTS[name](judgments_of(each), replicates=FEW) for each in (table, renamed)))


@given(raters_by_items(), NAMES)
def test_swapping_a_and_b_changes_nothing(table: np.ndarray, name: str) -> None:
    swapped = np.where(table == MISSING, MISSING, 2 - table)
    _same_value(*(OF_JUDGMENTS[name](judgments_of(each), replicates=FEW) for each in (table, swapped)))


@given(st.lists(st.integers(0, 2), min_size=2, max_size=40), st.integers(2, 5), NAMES)
def test_copies_of_one_annotator_agree_completely_but_not_beyond_doubt(
    labels: list[int], raters: int, name: str
) -> None:
    outcome = OF_JUDGMENTS[name](judgments_of(np.tile(labels, (raters, 1))), replicates=FEW)
    if len(set(labels)) == 1:
        assert outcome == Undefined(Reason.ONE_CATEGORY)
    else:
        assert (outcome.value, outcome.high) == (pytest.approx(1.0), pytest.approx(1.0))
        assert outcome.low < 1.0


@pytest.mark.parametrize("name", sorted(OF_JUDGMENTS))
def test_independent_annotators_with_even_labels_are_at_chance(name: str) -> None:
    table = np.random.default_rng(1).integers(0, 3, (4, 5000))
    outcome = OF_JUDGMENTS[name](judgments_of(table), replicates=200)
    assert abs(outcome.value) < 0.02
    assert outcome.low < 0 < outcome.high


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([], Reason.NO_JUDGMENTS),
        ([(1, 1, 0), (2, 1, 2)], Reason.NO_OVERLAP),
        ([(1, 1, 0), (1, 2, 2)], Reason.ONE_ITEM),
        ([(1, 1, 0), (1, 2, 0), (2, 1, 0), (2, 2, 0)], Reason.ONE_CATEGORY),
        ([(1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1)], Reason.ONE_CATEGORY),
        ([(1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1), (3, 1, 2)], Reason.ONE_CATEGORY),
    ],
)
@pytest.mark.parametrize("name", sorted(OF_JUDGMENTS))
def test_what_cannot_be_said_is_undefined_with_a_reason(name: str, cells: list, reason: Reason) -> None:
    columns = zip(*cells, strict=True) if cells else ([], [], [])
    assert OF_JUDGMENTS[name](Judgments.from_arrays(*columns)) == Undefined(reason)


def test_an_unknown_weight_and_wrong_values_are_refused() -> None:
    counts = [[2, 0, 0], [0, 1, 1]]
    with pytest.raises(ValueError, match="Unknown weights: 'cubic'"):
        gwet_ac2(counts, "cubic")
    with pytest.raises(ValueError, match="one finite value for each of the 3 labels"):
        gwet_ac2(counts, values=[1, 2])
    with pytest.raises(ValueError, match="zero or more"):
        gwet_ac2(counts, "ratio", values=[-1, 0, 1])


@pytest.mark.parametrize("weights", sorted(WEIGHTS))
def test_weights_are_one_for_equal_labels_and_zero_for_the_farthest(weights: Weights) -> None:
    matrix = weight_matrix(weights, np.array([0.0, 1.0, 4.0]))
    assert np.diag(matrix) == pytest.approx(1)
    assert np.array_equal(matrix, matrix.T)
    assert matrix.min() == pytest.approx(0)


def test_items_are_resampled_with_all_their_votes() -> None:
    counts = simulated.votes(60, np.random.default_rng(3))
    once, tenfold = fleiss_kappa(counts), fleiss_kappa(counts * 10)
    assert tenfold.high - tenfold.low > 0.6 * (once.high - once.low)


def _same_value(one: Outcome, other: Outcome) -> None:
    if isinstance(one, Undefined):
        assert one == other
    else:
        assert (one.value, one.n, one.chance) == (
            pytest.approx(other.value, abs=1e-9),
            other.n,
            pytest.approx(other.chance, abs=1e-9),
        )
