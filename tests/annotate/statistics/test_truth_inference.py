"""What every truth inference must do: vote shares, Dawid-Skene, MACE, GLAD."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.statistics import confusion_em
from annotate.statistics.confusion_em import TOLERANCE
from annotate.statistics.dawid_skene import dawid_skene
from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.glad import glad
from annotate.statistics.judgments import TIE, Judgments
from annotate.statistics.mace import mace
from annotate.statistics.truth import UNDECIDED, Truth, soft_labels
from annotate.statistics.vote_shares import vote_shares

from . import published
from .crowds import crowd, swapped
from .tables import judgments_of, raters_by_items

Method = Callable[[Judgments], Truth | Undefined]
MODELS: list[Method] = [dawid_skene, mace, glad]
METHODS: list[Method] = [vote_shares, *MODELS]
CLOSE = 1e-3


@pytest.mark.parametrize("method", [dawid_skene, glad])
def test_the_wrong_majority_of_the_toy_is_put_right(method: Method) -> None:
    entry = published.entry("gal_toy")
    items, workers, labels = zip(*entry["labels"], strict=True)
    found = method(Judgments.from_arrays(items, workers, labels, categories=2))
    assert found.labels.tolist() == entry["recomputed"]["dawid_skene"] == entry["published"]["truth"]
    assert set(found.reliability.argsort()[:2]) == {0, 4}, "the one who always says 1, and the one who is always wrong"
    assert found.converged


def test_vote_shares_are_the_majority_with_its_mistake() -> None:
    entry = published.entry("gal_toy")
    items, workers, labels = zip(*entry["labels"], strict=True)
    found = vote_shares(Judgments.from_arrays(items, workers, labels, categories=2))
    assert found.labels.tolist() == entry["recomputed"]["majority"]


@pytest.mark.parametrize("method", METHODS)
def test_reliabilities_are_found_and_make_the_labels_better(method: Method) -> None:
    accuracy = [0.95, 0.85, 0.7, 0.5, 0.34, 0.34, 0.34]
    judgments, truth = crowd(accuracy, 1500, np.random.default_rng(1))
    found = method(judgments)
    right = (found.labels == truth).mean()
    votes = (vote_shares(judgments).labels == truth).mean()
    if method is vote_shares:
        assert right == votes
    else:
        assert np.abs(found.reliability - accuracy).max() < 0.08
        assert right > votes + 0.05
    assert np.corrcoef(found.reliability, accuracy)[0, 1] > 0.95


@pytest.mark.parametrize("method", MODELS)
def test_a_posterior_is_as_sure_as_it_is_right(method: Method) -> None:
    judgments, truth = crowd([0.9, 0.8, 0.7, 0.6, 0.5], 3000, np.random.default_rng(2), votes=3)
    found = method(judgments)
    sure = found.probabilities.max(axis=1)
    assert sure.mean() == pytest.approx((found.labels == truth).mean(), abs=0.03)


@pytest.mark.parametrize("method", METHODS)
@given(table=raters_by_items())
@settings(deadline=None, max_examples=40)
def test_any_table_gives_a_finite_answer_or_a_reason(method: Method, table: np.ndarray) -> None:
    judgments = judgments_of(table)
    found = method(judgments)
    if isinstance(found, Undefined):
        assert found.reason in (Reason.NO_JUDGMENTS, Reason.NO_OVERLAP)
        return
    assert found.probabilities.shape == (judgments.items.size, 3)
    assert found.probabilities.sum(axis=1) == pytest.approx(1)
    assert found.reliability.shape == (judgments.annotators.size,)
    assert ((found.reliability >= 0) & (found.reliability <= 1)).all()
    assert (np.diff(found.log_likelihood) > -1e-9 * (1 + np.abs(found.log_likelihood[1:]))).all()
    assert found.iterations == found.log_likelihood.size


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=10)
def test_names_and_order_do_not_matter(method: Method, seed: int) -> None:
    random = np.random.default_rng(seed)
    judgments, _truth = crowd([0.9, 0.8, 0.6, 0.2], 40, random, votes=3)
    items, annotators, order = random.permutation(40), random.permutation(4), random.permutation(len(judgments))
    renamed = Judgments.from_arrays(
        items[judgments.items[judgments.item]][order],
        annotators[judgments.annotators[judgments.annotator]][order],
        judgments.label[order],
    )
    one, other = method(judgments), method(renamed)
    assert other.probabilities[items[judgments.items]] == pytest.approx(one.probabilities, abs=CLOSE)
    assert other.reliability[annotators[judgments.annotators]] == pytest.approx(one.reliability, abs=CLOSE)


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=10)
def test_swapping_a_and_b_turns_the_labels_round(method: Method, seed: int) -> None:
    judgments, _truth = crowd([0.9, 0.8, 0.6, 0.2], 40, np.random.default_rng(seed), votes=3)
    one, other = method(judgments), method(swapped(judgments))
    assert other.probabilities[:, ::-1] == pytest.approx(one.probabilities, abs=CLOSE)
    assert other.soft_labels == pytest.approx(1 - one.soft_labels, abs=CLOSE)
    assert other.reliability == pytest.approx(one.reliability, abs=CLOSE)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_judgments_give_exactly_the_same_labels(method: Method) -> None:
    judgments, _truth = crowd([0.9, 0.8, 0.6], 60, np.random.default_rng(3))
    assert (method(judgments).probabilities == method(judgments).probabilities).all()


@pytest.mark.parametrize("method", MODELS)
def test_without_two_opinions_of_an_item_nobody_can_be_rated(method: Method) -> None:
    assert method(Judgments.from_arrays([], [], [])) == Undefined(Reason.NO_JUDGMENTS)
    assert method(Judgments.from_arrays([1, 2, 3], [7, 7, 7], [0, 1, 2])) == Undefined(Reason.NO_OVERLAP)
    assert method(Judgments.from_arrays([1, 2, 3], [7, 8, 9], [0, 1, 2])) == Undefined(Reason.NO_OVERLAP)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("label", [0, 1, 2])
def test_where_all_say_the_same_that_is_the_label(method: Method, label: int) -> None:
    judgments = Judgments.from_arrays([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], [label] * 6)
    assert method(judgments).labels.tolist() == [label] * 3


@pytest.mark.parametrize("method", METHODS)
def test_without_ties_no_tie_is_believed_in(method: Method) -> None:
    judgments = Judgments.from_arrays([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], [0, 0, 2, 2, 0, 0])
    assert (method(judgments).probabilities[:, TIE] < 1 / 3).all()


@pytest.mark.parametrize(
    ("method", "least", "of_decided"), [(dawid_skene, 0.0, -0.005), (mace, -0.005, -0.01), (glad, 0.0, -0.005)]
)
def test_thinly_labelled_workers_do_not_spoil_the_labels(method: Method, least: float, of_decided: float) -> None:
    """Half of the 2,564 workers gave two labels or one; against the labels of the corpus, with splits as half right.

    Those are of MACE with all labels equally frequent, so that many of them are ties: ours, which learns how frequent
    they are, has fewer, and predicts held-out votes better (docs/performance.md)."""
    judgments, gold = convarg()
    known = gold >= 0
    shares = vote_shares(judgments).probabilities
    leading = shares == shares.max(axis=1, keepdims=True)
    credit = leading[np.arange(gold.size), gold] / leading.sum(axis=1)
    labels = method(judgments).labels
    assert (labels == gold)[known].mean() >= credit[known].mean() + least
    decided = known & (leading.sum(axis=1) == 1)
    assert (labels == gold)[decided].mean() >= credit[decided].mean() + of_decided


def test_a_draw_is_undecided_and_soft_labels_need_a_tie_b() -> None:
    found = Truth(np.array([[0.4, 0.2, 0.4], [0.5, 0.3, 0.2]]), np.array([1.0]), True, 1, np.array([0.0]))
    assert found.labels.tolist() == [UNDECIDED, 0]
    assert found.soft_labels == pytest.approx([0.5, 0.65])
    with pytest.raises(ValueError, match="there are 2 labels"):
        soft_labels(np.array([[0.5, 0.5]]))


def test_a_number_that_is_not_finite_cannot_be_returned() -> None:
    with pytest.raises(ValueError, match=r"Truth.reliability must be finite"):
        Truth(np.ones((1, 3)) / 3, np.array([np.nan]), True, 1, np.array([0.0]))


def convarg() -> tuple[Judgments, np.ndarray]:
    """The file's judgments, and the corpus' own label of each item or -1."""
    name = "comparisons_convarg.jsonl.gz"
    judgments = published.judgments_of_file(name)
    gold = {row["id"]: row["source_gold"] for row in published.comparisons(name)}
    return judgments, np.array([published.CODES[gold[item]] if gold[item] else -1 for item in judgments.items.tolist()])


def test_convergence_is_reported_by_the_last_gain() -> None:
    judgments, _truth = crowd([0.9, 0.8, 0.6], 200, np.random.default_rng(4))
    found = dawid_skene(judgments)
    assert found.converged
    assert found.log_likelihood[-1] - found.log_likelihood[-2] < TOLERANCE * len(judgments)
    assert found.log_likelihood[-1] > found.log_likelihood[0]


def test_leaps_reach_a_higher_place_in_fewer_steps_where_labels_are_next_to_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judgments, _truth = crowd([0.36] * 30, 3000, np.random.default_rng(5), votes=5)
    leaping = dawid_skene(judgments)
    monkeypatch.setattr(confusion_em, "PLAIN", 10**9)
    walking = dawid_skene(judgments)
    assert walking.converged and leaping.converged
    assert leaping.iterations < walking.iterations / 2
    assert leaping.log_likelihood[-1] > walking.log_likelihood[-1] - TOLERANCE * len(judgments)


def test_what_converges_in_a_few_steps_never_leaps(monkeypatch: pytest.MonkeyPatch) -> None:
    judgments, _truth = crowd([0.9, 0.8, 0.7, 0.6], 400, np.random.default_rng(6))
    found = dawid_skene(judgments)
    monkeypatch.setattr(confusion_em, "PLAIN", 10**9)
    assert found.iterations < 20 and dawid_skene(judgments).log_likelihood.tolist() == found.log_likelihood.tolist()
