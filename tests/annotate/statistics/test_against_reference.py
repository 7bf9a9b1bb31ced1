"""Annotators against gold and against the majority of the others."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given

from annotate.statistics.against_gold import against_gold
from annotate.statistics.estimate import Estimate, Reason, Undefined
from annotate.statistics.intervals import wilson_interval
from annotate.statistics.judgments import Judgments
from annotate.statistics.kappa_of_pairs import LEAST_COMMON
from annotate.statistics.leave_one_out import leave_one_out, majority_of_others, share_of_the_majority_of_others

from . import definitions, published
from .tables import MISSING, judgments_of, raters_by_items

FEW = 20


def test_an_annotator_shows_the_share_of_gold_labels_with_wilsons_doubt_and_kappa() -> None:
    table = np.array([[0, 2, 2, 1, 0, 2] * 3, [0, 0, 0, 0, 0, 0] * 3])
    gold = [0, 2, 0, 1, 0, 2] * 3
    report = against_gold(judgments_of(table), range(18), gold)
    good, lazy = report.annotators
    assert (good.annotator, good.n) == (0, 18)
    assert (good.raw_agreement.value, good.raw_agreement.low) == (pytest.approx(15 / 18), wilson_interval(15, 18)[0])
    assert good.kappa.value == pytest.approx(definitions.cohen(table[0].tolist(), gold))
    assert lazy.kappa.value == pytest.approx(0)
    assert lazy.raw_agreement.chance == pytest.approx(0.5)
    assert report.overall.value == pytest.approx((15 + 9) / 36)
    assert report.overall.n == 18


def test_items_without_gold_and_gold_without_judgments_are_passed_over() -> None:
    judgments = Judgments.from_arrays(["x", "y", "z"], ["ann"] * 3, [0, 2, 1])
    report = against_gold(judgments, ["z", "nowhere", "x"], [1, 0, 2])
    assert (report.overall.value, report.overall.n) == (0.5, 2)
    assert report.annotators[0].kappa == Undefined(Reason.FEW_COMMON)


def test_without_gold_nothing_is_said() -> None:
    judgments = Judgments.from_arrays([1, 2, 2], ["ann", "ann", "ben"], [0, 2, 1])
    report = against_gold(judgments, [], [])
    assert report.overall == report.annotators[0].raw_agreement == Undefined(Reason.NO_GOLD)
    one = against_gold(judgments, [1], [0])
    assert one.overall == Undefined(Reason.ONE_COMMON)
    assert one.annotators[1].raw_agreement == Undefined(Reason.NO_GOLD)


@pytest.mark.parametrize(
    ("items", "labels", "message"),
    [([1, 1], [0, 0], "more than one gold label"), ([1], [3], "Label 3"), ([1, 2], [0], "one gold label an item")],
)
def test_malformed_gold_is_refused(items: list[int], labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        against_gold(Judgments.from_arrays([1], ["ann"], [0]), items, labels)


@given(raters_by_items())
def test_the_majority_of_the_others_is_counted_without_oneself(table: np.ndarray) -> None:
    judgments = judgments_of(table)
    found = majority_of_others(judgments)
    for row in range(len(judgments)):
        item, own = judgments.items[judgments.item[row]], judgments.annotators[judgments.annotator[row]]
        others = [label for rater, label in enumerate(table[:, item]) if rater != own and label != MISSING]
        leading = Counter(others).most_common(2)
        unique = len(leading) == 1 or (len(leading) == 2 and leading[0][1] > leading[1][1])
        assert found[row] == (leading[0][0] if unique else -1)


@given(raters_by_items())
def test_leave_one_out_adds_up_over_the_annotators(table: np.ndarray) -> None:
    judgments = judgments_of(table)
    report = leave_one_out(judgments, replicates=FEW)
    defined = [each for each in report.annotators if each.n]
    if isinstance(report.overall, Estimate):
        equal = sum(each.raw_agreement.value * each.n for each in defined)
        assert report.overall.value == pytest.approx(equal / sum(each.n for each in defined))
        assert 0 <= report.overall.low <= report.overall.high <= 1
    else:
        assert report.overall.reason in (Reason.NO_MAJORITY, Reason.ONE_COMMON)
    assert report.overall == share_of_the_majority_of_others(judgments, replicates=FEW)


@given(raters_by_items())
def test_swapping_a_and_b_changes_nothing(table: np.ndarray) -> None:
    swapped = np.where(table == MISSING, MISSING, 2 - table)
    one, other = (share_of_the_majority_of_others(judgments_of(each), replicates=FEW) for each in (table, swapped))
    assert getattr(one, "value", one) == getattr(other, "value", other)


def test_copies_agree_with_each_other_completely_but_not_beyond_doubt() -> None:
    report = leave_one_out(judgments_of(np.tile([0, 1, 2, 2, 0, 1, 0, 2, 1, 0], (3, 1))))
    for outcome in (report.overall, *(each.kappa for each in report.annotators)):
        assert outcome.value == pytest.approx(1)
        assert outcome.low < 0.95


def test_a_lone_annotator_has_no_others() -> None:
    report = leave_one_out(Judgments.from_arrays([1, 2], ["ann", "ann"], [0, 2]))
    assert report.overall == report.annotators[0].raw_agreement == Undefined(Reason.NO_MAJORITY)


def test_a_report_goes_to_json_for_a_crowd_of_thousands() -> None:
    judgments = published.judgments_of_file("comparisons_convarg.jsonl.gz")
    report = leave_one_out(judgments, replicates=FEW)
    written = json.loads(json.dumps(report.as_json()))
    assert len(written["annotators"]) == 2564
    assert report.overall.chance < report.overall.low < report.overall.value < report.overall.high
    assert all(isinstance(each.kappa, Undefined) for each in report.annotators if each.n < LEAST_COMMON)
