"""The value of labels: what more of them would bring, seen against what they did bring, and when to stop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.statistics.agreement_width import agreement_widths
from annotate.statistics.dawid_skene import dawid_skene
from annotate.statistics.estimate import Estimate, Reason, Undefined
from annotate.statistics.judgments import Judgments
from annotate.statistics.label_curve import label_curve
from annotate.statistics.label_value import LabelValue, label_values
from annotate.statistics.more_votes import fewer_votes, simulated_votes, votes_to_try
from annotate.statistics.stop_rule import Verdict, when_to_stop

from . import published
from .crowds import crowd


def coin(right: float) -> np.ndarray:
    return np.array([[right, 1 - right], [1 - right, right]])


def test_one_vote_on_an_open_question_is_worth_the_voter() -> None:
    now, one, three = (label_values(np.array([[0.5, 0.5]]), coin(0.8), most=3)[n] for n in (0, 1, 3))
    assert (now.accuracy, now.entropy, now.gain.value) == (0.5, 1.0, 0.0)
    assert one.accuracy == pytest.approx(0.8)
    assert one.entropy == pytest.approx(-0.8 * np.log2(0.8) - 0.2 * np.log2(0.2))
    assert three.accuracy == pytest.approx(0.8**3 + 3 * 0.8**2 * 0.2)


@given(seed=st.integers(0, 2**31), categories=st.integers(2, 4))
@settings(deadline=None, max_examples=25)
def test_a_judgment_never_harms_and_a_second_helps_less_than_two(seed: int, categories: int) -> None:
    random = np.random.default_rng(seed)
    values = label_values(
        random.dirichlet(np.ones(categories), 8), random.dirichlet(np.ones(categories), categories), most=4
    )
    assert (np.diff([value.accuracy for value in values]) >= -1e-12).all()
    assert (np.diff([value.entropy for value in values]) <= 1e-12).all()
    assert all(0 <= value.gain.low <= value.gain.value <= value.gain.high for value in values)


def test_a_vote_by_a_guesser_is_worth_nothing() -> None:
    values = label_values(np.array([[0.7, 0.3], [0.2, 0.8]]), coin(0.5), most=3)
    assert [value.gain.value for value in values] == pytest.approx([0, 0, 0, 0])


def test_what_is_promised_is_what_comes() -> None:
    """The promise after three votes an item of a simulated crowd, and the right labels after four and five."""
    random = np.random.default_rng(1)
    judgments, truth = crowd([0.85, 0.8, 0.75, 0.7, 0.65], 4000, random)
    before = dawid_skene(fewer_votes(judgments, 3, random))
    values = label_values(before.probabilities, before.crowd, most=2)
    for more in (0, 1, 2):
        found = dawid_skene(fewer_votes(judgments, 3 + more, random))
        assert values[more].accuracy == pytest.approx((found.labels == truth).mean(), abs=0.03)


def test_the_curve_of_the_file_rises_and_is_carried_on_smoothly() -> None:
    judgments = published.judgments_of_file("comparisons_convarg.jsonl.gz")
    curve = label_curve(judgments, draws=2)
    assert [point.votes for point in curve] == [2, 3, 4, 5]
    assert (np.diff([point.accuracy for point in curve]) > 0).all()
    assert (np.diff([point.entropy for point in curve]) < 0).all()
    assert curve[-1].unchanged == 1.0
    found = dawid_skene(judgments)
    values = label_values(found.probabilities, found.crowd, most=1)
    assert values[0].accuracy == pytest.approx(curve[-1].accuracy)
    assert values[1].gain.value == pytest.approx(curve[-1].accuracy - curve[-2].accuracy, abs=0.01)


def test_the_interval_of_agreement_narrows_with_every_judgment() -> None:
    judgments, _truth = crowd([0.85, 0.8, 0.75, 0.7], 400, np.random.default_rng(2))
    widths = agreement_widths(judgments, dawid_skene(judgments), draws=5)
    assert [(point.votes, point.simulated) for point in widths] == [(2, False), (3, False), (4, False), (5, True)]
    assert (np.diff([point.width for point in widths]) < 0).all()


def test_the_width_that_is_promised_is_what_comes() -> None:
    random = np.random.default_rng(3)
    judgments, _truth = crowd([0.8] * 5, 600, random)
    four = fewer_votes(judgments, 4, random)
    promised = agreement_widths(four, dawid_skene(four), draws=5)[-1]
    real = agreement_widths(judgments, dawid_skene(judgments), draws=1)[-2]
    assert (promised.votes, real.votes) == (5, 5)
    assert promised.width == pytest.approx(real.width, rel=0.15)


def test_fewer_votes_are_some_of_the_votes_of_every_item() -> None:
    judgments, _truth = crowd([0.9] * 5, 30, np.random.default_rng(4), votes=4)
    fewer = fewer_votes(judgments, 3, np.random.default_rng(5))
    assert np.bincount(fewer.item).tolist() == [3] * 30
    whole = {tuple(row) for row in zip(judgments.item, judgments.annotator, judgments.label, strict=True)}
    assert {tuple(row) for row in zip(fewer.item, fewer.annotator, fewer.label, strict=True)} <= whole


def test_many_judgments_are_tried_in_few_steps() -> None:
    assert votes_to_try(2) == [2] and votes_to_try(9) == list(range(2, 10))
    many = votes_to_try(1000)
    assert (many[0], many[-1]) == (2, 1000) and len(many) == 8
    assert (np.diff(many) > 0).all()


def test_a_gain_that_is_the_same_everywhere_is_no_certainty() -> None:
    gain = label_values(np.tile([0.5, 0.5], (20, 1)), coin(0.8), most=1)[1].gain
    assert gain.value == pytest.approx(0.3) and gain.low < 0.29 and gain.high > 0.31


def test_simulated_votes_follow_posterior_and_confusion() -> None:
    votes = simulated_votes(np.tile([0.3, 0.7], (20_000, 1)), coin(0.9), 2, np.random.default_rng(6))
    assert (votes.sum(axis=1) == 2).all()
    assert votes[:, 0].mean() / 2 == pytest.approx(0.3 * 0.9 + 0.7 * 0.1, abs=0.01)


def test_the_curve_of_nothing_says_why() -> None:
    assert label_curve(Judgments.from_arrays([], [], [])) == Undefined(Reason.NO_JUDGMENTS)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="square confusion matrix"):
        label_values(np.array([[0.5, 0.5]]), np.eye(3))
    with pytest.raises(ValueError, match="above 0 judgments"):
        when_to_stop([], worth=0)


def _value(more: int, gain: float, half: float) -> LabelValue:
    return LabelValue(more, 0.8 + gain, 0.5, Estimate(gain, gain - half, gain + half, 100))


VALUES = [_value(0, 0, 0), _value(1, 0.04, 0.01), _value(2, 0.06, 0.01), _value(3, 0.07, 0.01)]


@pytest.mark.parametrize(
    ("worth", "verdict", "more", "threshold"),
    [
        (10, Verdict.STOP, 0, 0.1),
        (24, Verdict.UNCLEAR, 1, 1 / 24),
        (40, Verdict.GO_ON, 1, 1 / 40),
        (80, Verdict.GO_ON, 2, 2 / 80),
        (200, Verdict.GO_ON, 3, 3 / 200),
    ],
)
def test_judgments_are_bought_while_they_are_worth_it(
    worth: float, verdict: Verdict, more: int, threshold: float
) -> None:
    advice = when_to_stop(VALUES, worth=worth)
    assert (advice.verdict, advice.more) == (verdict, more)
    assert advice.threshold == pytest.approx(threshold)
    if more:
        assert advice.net == pytest.approx(worth * VALUES[more].gain.value - more)
