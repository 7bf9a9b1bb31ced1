"""Judgments are coded once, and malformed ones are refused with a message that names the place."""

import numpy as np
import pytest

from annotate.statistics.counts import checked_counts, count_matrix, distinct_rows, paired_labels
from annotate.statistics.judgments import DuplicateJudgment, Judgments


def test_ids_may_be_strings_or_numbers_and_rows_follow_the_sorted_items() -> None:
    judgments = Judgments.from_arrays(["q2", "q1", "q2"], [7, 7, 3], [2, 0, 2])
    assert judgments.items.tolist() == ["q1", "q2"]
    assert count_matrix(judgments).tolist() == [[1, 0, 0], [0, 0, 2]]


def test_no_judgments_give_an_empty_matrix() -> None:
    judgments = Judgments.from_arrays([], [], [])
    assert len(judgments) == 0
    assert count_matrix(judgments).shape == (0, 3)


def test_paired_labels_are_those_of_the_common_items_in_item_order() -> None:
    judgments = Judgments.from_arrays([3, 1, 2, 1, 3, 4], list("xxxyyy"), [0, 1, 2, 2, 0, 1])
    first, second = paired_labels(judgments, "x", "y")
    assert (first.tolist(), second.tolist()) == ([1, 0], [2, 0])


def test_an_annotator_without_judgments_shares_no_item() -> None:
    judgments = Judgments.from_arrays([1, 2], ["x", "x"], [0, 1])
    assert [labels.size for labels in paired_labels(judgments, "x", "nobody")] == [0, 0]


def test_a_second_label_of_one_annotator_for_one_item_is_refused_by_name() -> None:
    with pytest.raises(DuplicateJudgment, match="Annotator bo has more than one label for item 5"):
        Judgments.from_arrays([4, 5, 5], ["bo", "bo", "bo"], [0, 1, 1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 3], "Label 3 of judgment 1"), ([0, -1], "Label -1"), ([0.0, 1.0], "integer codes"), ([0], "same length")],
)
def test_malformed_labels_are_refused(labels: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Judgments.from_arrays([1, 2], ["x", "y"], labels)


@pytest.mark.parametrize("counts", [[1, 2, 3], [[1, -1]], [[0.5, 1]], [[float("nan"), 1]]])
def test_malformed_counts_are_refused(counts: list[object]) -> None:
    with pytest.raises(ValueError, match="Counts must"):
        checked_counts(counts)


@pytest.mark.parametrize("categories", [3, 60])
def test_distinct_rows_are_those_of_numpy(categories: int) -> None:
    counts = np.random.default_rng(1).integers(0, 3, (200, categories))
    counts = np.concatenate([counts, counts[:50]])
    rows, frequency = distinct_rows(counts)
    expected, times = np.unique(counts, axis=0, return_counts=True)
    found = np.lexsort(rows.T[::-1])
    assert np.array_equal(rows[found], expected)
    assert np.array_equal(frequency[found], times)
