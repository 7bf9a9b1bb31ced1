"""Alpha: published values, the properties that it must have, and what is not defined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.judgments import Judgments
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.label_distances import Metric

from . import published, simulated
from .same import same
from .tables import MISSING, judgments_of, raters_by_items

FEW = 20
METRICS: tuple[Metric, ...] = ("nominal", "ordinal", "interval", "ratio")


@pytest.mark.parametrize("table", ["krippendorff2011_A", "krippendorff2011_B", "krippendorff2011_C"])
def test_alpha_is_krippendorffs_own_in_every_metric_he_gives(table: str) -> None:
    entry = published.entry(table)
    counts = count_matrix(published.judgments_of_table(entry["raters_by_units"]))
    given_metrics = [metric for metric in METRICS if f"alpha_{metric}" in entry["published"]]
    assert given_metrics == (list(METRICS) if table.endswith("C") else ["nominal"])
    for metric in given_metrics:
        alpha = krippendorff_alpha(counts, metric=metric, replicates=FEW).value
        assert alpha == pytest.approx(entry["recomputed"][f"alpha_{metric}"], abs=1e-6)
        assert alpha == pytest.approx(entry["published"][f"alpha_{metric}"], abs=entry["tol"])


@pytest.mark.parametrize("name", ["comparisons_convarg", "comparisons_mqm_zhen"])
def test_alpha_of_the_comparison_files_is_the_stated_one(name: str) -> None:
    entry = published.entry(name)
    counts = count_matrix(published.judgments_of_file(entry["file"]))
    for metric, key in (("nominal", "alpha_nominal"), ("ordinal", "alpha_ordinal_a_tie_b")):
        estimate = krippendorff_alpha(counts, metric=metric)
        assert estimate.value == pytest.approx(entry["recomputed"][key], abs=entry["tol"])
        assert estimate.low < estimate.value < estimate.high
        assert estimate.n == entry["recomputed"]["rows"]


@pytest.mark.parametrize("table", ["cohen_wikipedia", "feinstein_cicchetti_1", "feinstein_cicchetti_2"])
def test_alpha_of_two_annotators_is_scotts_pi_with_the_small_sample_correction(table: str) -> None:
    entry = published.entry(table)
    n = np.sum(entry["table"])
    pi = entry["recomputed"]["scott_pi"]
    alpha = krippendorff_alpha(count_matrix(published.judgments_of_crosstable(entry["table"])), replicates=FEW).value
    assert alpha == pytest.approx(pi + (1 - pi) / (2 * n), abs=1e-6)


def test_alpha_of_a_full_table_is_fleiss_kappa_with_the_small_sample_correction() -> None:
    entry = published.entry("fleiss_wikipedia")
    kappa = entry["recomputed"]["fleiss_kappa"]
    alpha = krippendorff_alpha(entry["counts"], replicates=FEW).value
    assert alpha == pytest.approx(kappa + (1 - kappa) / np.sum(entry["counts"]), abs=1e-6)


@given(raters_by_items(), st.sampled_from(METRICS))
def test_alpha_is_one_minus_observed_by_expected_distance_over_all_pairs(table: np.ndarray, metric: Metric) -> None:
    """The definition, pair by pair and value by value, without a coincidence matrix."""
    outcome = _alpha(table, metric)
    expected = _alpha_by_pairs(table, metric)
    if isinstance(outcome, Estimate):
        assert outcome.value == pytest.approx(expected, abs=1e-9)
        assert -1 <= outcome.low <= outcome.high <= 1
    else:
        assert outcome.reason in list(Reason)


@given(raters_by_items(), st.randoms(use_true_random=False), st.sampled_from(METRICS))
def test_the_order_of_items_and_annotators_does_not_matter(table: np.ndarray, random: object, metric: Metric) -> None:
    order = np.random.default_rng(random.getrandbits(32))
    shuffled = order.permutation(order.permutation(table, axis=0), axis=1)
    assert same(_alpha(table, metric), _alpha(shuffled, metric))


@given(raters_by_items(), st.permutations(range(3)))
def test_nominal_alpha_does_not_know_the_names_of_the_categories(table: np.ndarray, names: list[int]) -> None:
    _same_value(_alpha(table, "nominal"), _alpha(_renamed(table, names), "nominal"))


@given(raters_by_items(), st.sampled_from(["nominal", "ordinal", "interval"]))
def test_swapping_a_and_b_changes_nothing(table: np.ndarray, metric: Metric) -> None:
    _same_value(_alpha(table, metric), _alpha(_renamed(table, [2, 1, 0]), metric))


@given(st.lists(st.integers(0, 2), min_size=2, max_size=40), st.integers(2, 5), st.sampled_from(METRICS))
def test_copies_of_one_annotator_agree_completely_but_not_beyond_doubt(
    labels: list[int], raters: int, metric: Metric
) -> None:
    outcome = _alpha(np.tile(labels, (raters, 1)), metric)
    if len(set(labels)) == 1:
        assert outcome == Undefined(Reason.ONE_CATEGORY)
    else:
        assert (outcome.value, outcome.high) == (1.0, 1.0)
        assert outcome.low < 1.0


@pytest.mark.parametrize("metric", METRICS)
def test_independent_annotators_have_an_alpha_near_zero(metric: Metric) -> None:
    outcome = krippendorff_alpha(simulated.votes(20_000, np.random.default_rng(1), knows=0.0), metric=metric)
    assert abs(outcome.value) < 0.015
    assert outcome.low < 0 < outcome.high


def test_opposed_annotators_have_an_alpha_below_zero() -> None:
    assert krippendorff_alpha([[1, 0, 1]] * 50).value == pytest.approx(-0.98)


def test_a_perfect_agreement_on_more_items_leaves_less_doubt() -> None:
    few, many = (krippendorff_alpha([[2, 0, 0], [0, 0, 2]] * half) for half in (3, 300))
    assert few.low < 0.5 < 0.98 < many.low < 1


def test_the_chance_of_nominal_alpha_is_two_judgments_drawn_without_replacement() -> None:
    assert krippendorff_alpha([[2, 0, 0], [1, 0, 1], [0, 0, 2]]).chance == pytest.approx(2 * (3 * 2) / (6 * 5))


def test_items_with_one_vote_do_not_count() -> None:
    paired = [[2, 0, 0], [1, 1, 0], [0, 0, 2]]
    assert same(krippendorff_alpha([*paired, [0, 0, 1], [0, 0, 0]]), krippendorff_alpha(paired))


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (np.zeros((0, 3)), Reason.NO_JUDGMENTS),
        ([[0, 0, 0]], Reason.NO_JUDGMENTS),
        ([[1, 0, 0], [0, 0, 1]], Reason.NO_OVERLAP),
        ([[1, 1, 0], [0, 0, 1]], Reason.ONE_ITEM),
        ([[2, 0, 0], [3, 0, 0]], Reason.ONE_CATEGORY),
        ([[0, 2, 0]], Reason.ONE_CATEGORY),
        ([[2, 0, 0], [0, 0, 1]], Reason.ONE_CATEGORY),
    ],
)
@pytest.mark.parametrize("metric", METRICS)
def test_what_cannot_be_said_is_undefined_with_a_reason(counts: object, reason: Reason, metric: Metric) -> None:
    assert krippendorff_alpha(counts, metric=metric) == Undefined(reason)


def test_an_item_that_is_the_only_one_to_differ_still_gets_a_finite_wide_interval() -> None:
    outcome = krippendorff_alpha([[2, 0, 0]] * 99 + [[1, 0, 1]])
    assert outcome.value == pytest.approx(0.0, abs=0.01)
    assert outcome.high - outcome.low > 0.5


def test_values_of_the_labels_can_be_given_and_are_checked() -> None:
    counts = [[2, 0, 0], [1, 1, 0], [0, 0, 2], [0, 1, 1]]
    evenly_spaced = krippendorff_alpha(counts, metric="interval", values=[0, 5, 10])
    assert same(evenly_spaced, krippendorff_alpha(counts, metric="interval"))
    assert not same(evenly_spaced, krippendorff_alpha(counts, metric="interval", values=[0, 1, 10]))
    with pytest.raises(ValueError, match="one finite value for each of the 3 labels"):
        krippendorff_alpha(counts, metric="interval", values=[1, 2])
    with pytest.raises(ValueError, match="zero or more"):
        krippendorff_alpha(counts, metric="ratio", values=[-1, 0, 1])
    with pytest.raises(ValueError, match="Unknown metric"):
        krippendorff_alpha(counts, metric="cubic")


def test_a_million_judgments_go_from_arrays_to_interval_in_seconds() -> None:
    random = np.random.default_rng(2)
    items, labels = np.repeat(np.arange(200_000), 5), random.integers(0, 3, 1_000_000)
    annotators = (random.integers(0, 500, 200_000)[:, None] + np.arange(5)).ravel()
    outcome = krippendorff_alpha(count_matrix(Judgments.from_arrays(items, annotators, labels)))
    assert outcome.n == 200_000
    assert outcome.low < 0 < outcome.high


def _alpha(table: np.ndarray, metric: Metric) -> Outcome:
    return krippendorff_alpha(count_matrix(judgments_of(table)), metric=metric, replicates=FEW)


def _renamed(table: np.ndarray, names: list[int]) -> np.ndarray:
    return np.where(table == MISSING, MISSING, np.array(names)[table])


def _same_value(one: Outcome, other: Outcome) -> None:
    if isinstance(one, Undefined):
        assert one == other
    else:
        assert (one.value, one.n) == (pytest.approx(other.value, abs=1e-9), other.n)


def _alpha_by_pairs(table: np.ndarray, metric: Metric) -> float:
    units = [column[column != MISSING] for column in table.T]
    units = [unit for unit in units if unit.size >= 2]
    everything = np.concatenate([np.zeros(0, dtype=int), *units])
    observed = sum(_mean_distance(unit, everything, metric) * unit.size for unit in units) / max(everything.size, 1)
    expected = _mean_distance(everything, everything, metric) if everything.size else 0
    return 1 - observed / expected if expected else float("nan")


def _mean_distance(labels: np.ndarray, everything: np.ndarray, metric: Metric) -> float:
    n = labels.size
    return sum(_distance(x, y, everything, metric) for x in labels for y in labels) / (n * (n - 1))


def _distance(x: int, y: int, everything: np.ndarray, metric: Metric) -> float:
    low, high = sorted((int(x), int(y)))
    if low == high or metric == "nominal":
        return float(low != high)
    if metric == "interval":
        return (low - high) ** 2
    if metric == "ratio":
        return ((low - high) / (low + high)) ** 2
    times = [np.sum(everything == label) for label in range(low, high + 1)]
    return (sum(times) - (times[0] + times[-1]) / 2) ** 2
