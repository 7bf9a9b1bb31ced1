"""ICC, Kendall's W and tau: published values, definitions, properties, and what is not defined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import friedmanchisquare, kendalltau, rankdata

from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.intraclass_correlation import FORMS, Form, intraclass_correlation
from annotate.statistics.kendall_tau import kendall_tau
from annotate.statistics.kendall_w import kendall_w, midranks
from annotate.statistics.ranked_items import agreement_of_rankings

from . import definitions
from .anxiety import RATINGS

FEW = 20
NAN = float("nan")
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
SHROUT_AND_FLEISS = {"ICC1": 0.17, "ICC2": 0.29, "ICC3": 0.71, "ICC1k": 0.44, "ICC2k": 0.62, "ICC3k": 0.91}
TABLES = st.tuples(st.integers(2, 12), st.integers(2, 4)).flatmap(
    lambda shape: arrays(float, shape, elements=st.integers(0, 5))
)


@pytest.mark.parametrize("form", FORMS)
def test_the_six_correlations_of_shrout_and_fleiss(form: Form) -> None:
    """Table 4 of Shrout & Fleiss (1979): six targets, four judges."""
    outcome = intraclass_correlation(JUDGES, form)
    assert outcome.value == pytest.approx(SHROUT_AND_FLEISS[form], abs=5e-3)
    assert outcome.low < outcome.value < outcome.high
    assert outcome.n == 6


def test_the_concordance_of_the_anxiety_ratings_is_that_of_irr() -> None:
    """kendall(anxiety, TRUE) of the R package irr: W corrected for ties."""
    outcome = kendall_w(RATINGS)
    assert outcome.value == pytest.approx(0.5396569, abs=5e-8)
    assert outcome.low < outcome.value < outcome.high
    assert outcome.chance == pytest.approx(1 / 3)


@given(TABLES)
def test_correlations_are_those_of_the_variance_table(table: np.ndarray) -> None:
    n, k = table.shape
    found = definitions.variance_table(table)
    between, raters, within, rest = (found[name] for name in ("MSR", "MSC", "MSW", "MSE"))
    expected = {
        "ICC1": (between - within, between + (k - 1) * within),
        "ICC2": (between - rest, between + (k - 1) * rest + k * (raters - rest) / n),
        "ICC3": (between - rest, between + (k - 1) * rest),
        "ICC1k": (between - within, between),
        "ICC2k": (between - rest, between + (raters - rest) / n),
        "ICC3k": (between - rest, between),
    }
    for form, (part, whole) in expected.items():
        outcome = intraclass_correlation(table, form, replicates=FEW)
        if isinstance(outcome, Estimate):
            assert outcome.value == pytest.approx(part / whole, abs=1e-9)
            assert outcome.low <= outcome.value <= outcome.high
        else:
            assert outcome.reason == Reason.NO_SPREAD


def test_one_way_correlation_takes_other_raters_for_every_item() -> None:
    ratings = np.array([[1, 2, NAN, NAN], [NAN, 4, 5, 4], [8, NAN, NAN, 7], [NAN, NAN, NAN, 3]])
    groups = [[1, 2], [4, 5, 4], [8, 7]]
    total = sum(map(len, groups))
    grand = sum(map(sum, groups)) / total
    between = sum(len(group) * (np.mean(group) - grand) ** 2 for group in groups) / 2
    within = sum(np.var(group) * len(group) for group in groups) / (total - 3)
    k = (total - sum(len(group) ** 2 for group in groups) / total) / 2
    outcome = intraclass_correlation(ratings, "ICC1", replicates=FEW)
    assert outcome.value == pytest.approx((between - within) / (between + (k - 1) * within))
    assert outcome.n == 3


def test_two_way_correlations_leave_out_items_that_somebody_did_not_rate() -> None:
    holed = np.vstack([JUDGES, [[1.0, NAN, 1.0, 1.0]]])
    assert intraclass_correlation(holed, "ICC2", replicates=FEW).value == pytest.approx(
        intraclass_correlation(JUDGES, "ICC2", replicates=FEW).value
    )


@given(TABLES)
def test_concordance_is_the_mean_correlation_of_midranks(table: np.ndarray) -> None:
    outcome = kendall_w(table, replicates=FEW)
    if isinstance(outcome, Undefined):
        assert outcome.reason == Reason.NO_ORDER
        assert (table != table[0]).any(axis=0).sum() < 2
    else:
        ranks = rankdata(table, axis=0)
        assert outcome.value == pytest.approx(definitions.concordance(ranks), abs=1e-9)
        assert 0 <= outcome.low <= outcome.high <= 1


def test_concordance_is_friedmans_statistic_scaled() -> None:
    table = np.random.default_rng(1).integers(0, 5, (30, 4))
    statistic = friedmanchisquare(*table).statistic
    assert kendall_w(table, replicates=FEW).value == pytest.approx(statistic / (4 * 29), abs=1e-12)


@given(arrays(float, st.tuples(st.integers(2, 20), st.just(2)), elements=st.integers(0, 4)))
def test_tau_is_that_of_scipy(table: np.ndarray) -> None:
    first, second = table.T
    outcome = kendall_tau(first, second, replicates=FEW)
    if isinstance(outcome, Undefined):
        assert outcome.reason == Reason.NO_ORDER
        assert len(set(first)) == 1 or len(set(second)) == 1
    else:
        assert outcome.value == pytest.approx(kendalltau(first, second).statistic, abs=1e-9)
        assert -1 <= outcome.low <= outcome.high <= 1


def test_tau_in_blocks_is_tau_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = np.random.default_rng(4).normal(size=(2, 300))
    monkeypatch.setattr("annotate.statistics.kendall_tau._CELLS_AT_ONCE", 1000)
    assert kendall_tau(first, second, replicates=FEW).value == pytest.approx(kendalltau(first, second).statistic)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=12))
def test_weighted_midranks_are_the_ranks_of_the_items_written_out(items: list[tuple[int, int]]) -> None:
    scores, times = np.array(items, dtype=float).T
    written_out = rankdata(np.repeat(scores, times.astype(int)))
    found = np.repeat(midranks(scores, times[None])[0], times.astype(int))
    assert found == pytest.approx(written_out)


@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_items_and_raters_does_not_matter(table: np.ndarray, random: object) -> None:
    order = np.random.default_rng(random.getrandbits(32))
    shuffled = order.permutation(order.permutation(table, axis=0), axis=1)
    for coefficient in (kendall_w, *_correlations()):
        _same_value(coefficient(table, replicates=FEW), coefficient(shuffled, replicates=FEW))


@given(TABLES)
def test_turning_the_scale_round_changes_nothing(table: np.ndarray) -> None:
    for coefficient in (kendall_w, *_correlations()):
        _same_value(coefficient(table, replicates=FEW), coefficient(5 - table, replicates=FEW))


def test_copies_agree_completely_but_not_beyond_doubt() -> None:
    copies = np.tile(np.arange(12.0)[:, None] % 5, (1, 3))
    found = [coefficient(copies) for coefficient in (kendall_w, *_correlations())]
    found.append(kendall_tau(copies[:, 0], copies[:, 1]))
    found.append(agreement_of_rankings([copies] * 8))
    for outcome in found:
        assert outcome.value == pytest.approx(1.0)
        assert outcome.low < 0.99
        assert outcome.high == pytest.approx(1.0)


def test_unrelated_ratings_are_at_the_chance_level() -> None:
    table = np.random.default_rng(2).normal(size=(2000, 3))
    found = [coefficient(table, replicates=200) for coefficient in (kendall_w, *_correlations())]
    found.append(kendall_tau(table[:, 0], table[:, 1], replicates=200))
    for outcome in found:
        assert outcome.low < outcome.chance < outcome.high


def test_a_constant_added_to_large_ratings_loses_no_digits() -> None:
    shifted = intraclass_correlation(JUDGES + 1e9, "ICC2", replicates=FEW)
    assert shifted.value == pytest.approx(intraclass_correlation(JUDGES, "ICC2", replicates=FEW).value, abs=1e-6)


@pytest.mark.parametrize(
    ("ratings", "reason"),
    [
        (np.zeros((0, 2)), Reason.NO_JUDGMENTS),
        ([[NAN, NAN], [NAN, NAN]], Reason.NO_JUDGMENTS),
        ([[1, NAN], [2, NAN], [3, NAN]], Reason.ONE_ANNOTATOR),
        ([[1, 2], [3, NAN], [NAN, 4]], Reason.FEW_COMPLETE_ITEMS),
    ],
)
def test_too_few_ratings_are_undefined_with_a_reason(ratings: object, reason: Reason) -> None:
    table = np.array(ratings, dtype=float)
    assert kendall_w(table) == Undefined(reason)
    assert kendall_tau(table[:, 0], table[:, 1]) == Undefined(reason)
    assert intraclass_correlation(table, "ICC2") == intraclass_correlation(table, "ICC3k") == Undefined(reason)


@pytest.mark.parametrize(
    ("ratings", "reason"),
    [
        (np.zeros((0, 2)), Reason.NO_JUDGMENTS),
        ([[1, NAN], [2, NAN]], Reason.NO_OVERLAP),
        ([[1, 2], [3, NAN]], Reason.ONE_ITEM),
        ([[2, 2], [2, 2]], Reason.NO_SPREAD),
    ],
)
def test_one_way_correlation_is_undefined_with_a_reason(ratings: object, reason: Reason) -> None:
    assert intraclass_correlation(ratings, "ICC1") == Undefined(reason)


def test_ratings_without_any_order_are_undefined() -> None:
    flat = [[3, 4], [3, 4], [3, 4]]
    assert kendall_w(flat) == kendall_tau(*np.transpose(flat)) == Undefined(Reason.NO_ORDER)
    assert {intraclass_correlation(flat, form) for form in ("ICC2", "ICC3", "ICC3k")} == {Undefined(Reason.NO_SPREAD)}
    assert kendall_tau([1, 1, 1], [1, 2, 3]) == Undefined(Reason.NO_ORDER)


def test_malformed_ratings_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        kendall_w([1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        intraclass_correlation([[1, float("inf")], [2, 3]])
    with pytest.raises(ValueError, match="Unknown form: 'ICC4'"):
        intraclass_correlation(JUDGES, "ICC4")


@pytest.mark.parametrize("coefficient", ["tau", "w"])
def test_rankings_of_many_prompts_are_averaged_over_the_prompts(coefficient: str) -> None:
    random = np.random.default_rng(3)
    tables = [random.integers(0, 5, (4, random.integers(2, 4))).astype(float) for _ in range(40)]
    each = [
        [kendalltau(x, y).statistic for i, x in enumerate(table.T) for y in table.T[i + 1 :]]
        if coefficient == "tau"
        else [_w(table)]
        for table in tables
    ]
    values = [np.nanmean(found) for found in each if not np.isnan(found).all()]
    outcome = agreement_of_rankings(tables, coefficient)
    assert outcome.value == pytest.approx(np.mean(values))
    assert outcome.n == len(values)
    assert outcome.low < outcome.value < outcome.high


@pytest.mark.parametrize(
    ("rankings", "reason"),
    [
        ([], Reason.NO_JUDGMENTS),
        ([[[1], [2]]], Reason.NO_OVERLAP),
        ([[[1, 1], [1, 1]]], Reason.NO_ORDER),
        ([[[1, 1], [2, 2]]], Reason.ONE_ITEM),
    ],
)
@pytest.mark.parametrize("coefficient", ["tau", "w"])
def test_rankings_without_agreement_to_speak_of_are_undefined(rankings: list, reason: Reason, coefficient: str) -> None:
    assert agreement_of_rankings(rankings, coefficient) == Undefined(reason)


def _w(table: np.ndarray) -> float:
    outcome = kendall_w(table, replicates=1)
    return outcome.value if isinstance(outcome, Estimate) else NAN


def _correlations() -> list:
    return [lambda table, form=form, **how: intraclass_correlation(table, form, **how) for form in FORMS]


def _same_value(one: Outcome, other: Outcome) -> None:
    if isinstance(one, Undefined) or isinstance(other, Undefined):
        assert one == other
    else:
        assert (one.value, one.n) == (pytest.approx(other.value, abs=1e-6), other.n)
