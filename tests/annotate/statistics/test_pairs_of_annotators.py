"""Every two annotators who share items are compared, and only they."""

import json

import numpy as np
import pytest
from hypothesis import given

from annotate.statistics.counts import paired_labels
from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.intervals import wilson_interval
from annotate.statistics.judgments import Judgments
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.pairs_of_annotators import contingency_tables, pairs_of_annotators

from . import published
from .same import same
from .tables import judgments_of, raters_by_items

FEW = 20


def test_a_pair_shows_its_common_items_agreement_and_alpha() -> None:
    entry = published.entry("feinstein_cicchetti_2")
    (pair,) = pairs_of_annotators(published.judgments_of_crosstable(entry["table"]))
    assert (pair.first, pair.second, pair.n_common) == (0, 1, 100)
    assert (pair.raw_agreement.value, pair.raw_agreement.low) == (0.85, wilson_interval(85, 100)[0])
    pi = entry["recomputed"]["scott_pi"]
    assert pair.alpha.value == pytest.approx(pi + (1 - pi) / 200, abs=1e-6)
    assert pair.alpha.low < pair.alpha.value < pair.alpha.high


def test_annotators_who_never_met_are_left_out() -> None:
    judgments = Judgments.from_arrays([1, 1, 2, 2, 3], ["x", "y", "y", "z", "w"], [0, 0, 2, 0, 1])
    assert [(pair.first, pair.second) for pair in pairs_of_annotators(judgments)] == [("x", "y"), ("y", "z")]


def test_one_common_item_gives_a_wide_agreement_and_no_alpha() -> None:
    judgments = Judgments.from_arrays([1, 1], ["x", "y"], [0, 2])
    (pair,) = pairs_of_annotators(judgments)
    assert pair.raw_agreement.high > 0.7
    assert pair.alpha == Undefined(Reason.ONE_ITEM)


def test_a_pair_goes_to_json() -> None:
    judgments = Judgments.from_arrays([1, 1, 2, 2], ["x", "y", "x", "y"], [0, 0, 0, 0])
    written = json.loads(json.dumps([pair.as_json() for pair in pairs_of_annotators(judgments)]))
    assert written[0]["annotators"] == ["x", "y"]
    assert written[0]["krippendorff_alpha"] == {"value": None, "reason": Reason.ONE_CATEGORY}


def test_no_judgments_have_no_pairs() -> None:
    assert pairs_of_annotators(Judgments.from_arrays([], [], [])) == []


@given(raters_by_items())
def test_tables_are_those_of_the_paired_labels(table: np.ndarray) -> None:
    judgments = judgments_of(table)
    pairs, tables = contingency_tables(judgments)
    met = {tuple(judgments.annotators[pair].tolist()): found for pair, found in zip(pairs, tables, strict=True)}
    for first in judgments.annotators.tolist():
        for second in (other for other in judgments.annotators.tolist() if other > first):
            expected = np.zeros((3, 3), dtype=int)
            np.add.at(expected, paired_labels(judgments, first, second), 1)
            assert np.array_equal(met.pop((first, second), np.zeros((3, 3))), expected)
    assert not met


@given(raters_by_items())
def test_the_alpha_of_a_pair_is_the_alpha_of_its_judgments_alone(table: np.ndarray) -> None:
    judgments = judgments_of(table)
    for pair in pairs_of_annotators(judgments, replicates=FEW):
        counts = np.zeros((pair.n_common, 3), dtype=int)
        for labels in paired_labels(judgments, pair.first, pair.second):
            np.add.at(counts, (np.arange(pair.n_common), labels), 1)
        assert same(pair.alpha, krippendorff_alpha(counts, replicates=FEW))


def test_a_crowd_of_thousands_is_compared_where_it_met() -> None:
    judgments = published.judgments_of_file("comparisons_convarg.jsonl.gz")
    pairs, tables = contingency_tables(judgments)
    counts = np.unique(judgments.item, return_counts=True)[1]
    assert judgments.annotators.size == 2564
    assert tables.sum() == (counts * (counts - 1) // 2).sum()
    assert (pairs[:, 0] < pairs[:, 1]).all()
