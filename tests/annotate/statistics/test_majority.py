"""The majority vote: published labels, splits, shares and soft labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from annotate.statistics.counts import count_matrix
from annotate.statistics.judgments import TIE, A, B, Judgments
from annotate.statistics.majority import MajorityVote, majority_votes

from . import published

COUNTS = arrays(np.int64, st.tuples(st.integers(1, 8), st.just(3)), elements=st.integers(0, 6)).filter(
    lambda counts: (counts.sum(axis=1) > 0).all()
)


@pytest.mark.parametrize(
    ("counts", "vote"),
    [
        ([2, 0, 1], MajorityVote(A, 2 / 3, 2 / 3, 3)),
        ([0, 1, 3], MajorityVote(B, 3 / 4, 1 / 8, 4)),
        ([1, 2, 0], MajorityVote(TIE, 2 / 3, 2 / 3, 3)),
        ([2, 1, 2], MajorityVote(None, 2 / 5, 1 / 2, 5)),
        ([1, 1, 0], MajorityVote(None, 1 / 2, 3 / 4, 2)),
        ([1, 1, 1], MajorityVote(None, 1 / 3, 1 / 2, 3)),
        ([2, 1, 1], MajorityVote(A, 1 / 2, 5 / 8, 4)),
        ([0, 0, 1], MajorityVote(B, 1.0, 0.0, 1)),
    ],
)
def test_the_vote_of_one_item(counts: list[int], vote: MajorityVote) -> None:
    assert majority_votes([counts]) == [vote]


@pytest.mark.parametrize("name", ["comparisons_convarg", "comparisons_mqm_zhen"])
def test_the_votes_of_the_comparison_files_are_the_stated_ones(name: str) -> None:
    entry = published.entry(name)
    votes = majority_votes(count_matrix(published.judgments_of_file(entry["file"])))
    labels = [vote.label for vote in votes]
    stated = entry["recomputed"]
    assert {choice: labels.count(code) for choice, code in published.CODES.items()} == stated["majority"]
    assert labels.count(None) == stated["majority_tied_items"]
    assert sum(vote.unanimous for vote in votes) == stated["unanimous_items"]


def test_the_majority_agrees_with_the_labels_of_the_corpus_as_often_as_stated() -> None:
    entry = published.entry("comparisons_convarg")
    judgments = published.judgments_of_file(entry["file"])
    gold = {row["id"]: row["source_gold"] for row in published.comparisons(entry["file"]) if row["source_gold"]}
    votes = zip(judgments.items.tolist(), majority_votes(count_matrix(judgments)), strict=True)
    decided = {item: vote.label for item, vote in votes if item in gold and vote.label is not None}
    right = [label == published.CODES[gold[item]] for item, label in decided.items()]
    assert np.mean(right) == pytest.approx(entry["recomputed"]["majority_equals_source_gold_where_unique"], abs=1e-4)


def test_the_majority_follows_the_crowd_where_the_crowd_is_wrong() -> None:
    entry = published.entry("gal_toy")
    items, workers, labels = zip(*entry["labels"], strict=True)
    coded = [A if label == 0 else B for label in labels]
    votes = majority_votes(count_matrix(Judgments.from_arrays(items, workers, coded)))
    assert [0 if vote.label == A else 1 for vote in votes] == entry["recomputed"]["majority"]


@given(COUNTS)
def test_swapping_a_and_b_swaps_the_label_and_the_soft_label(counts: np.ndarray) -> None:
    for one, other in zip(majority_votes(counts), majority_votes(counts[:, ::-1]), strict=True):
        assert other.label == (None if one.label is None else 2 - one.label)
        assert other.share == one.share
        assert other.probability_a == pytest.approx(1 - one.probability_a)


@given(COUNTS)
def test_a_label_has_more_votes_than_any_other_choice(counts: np.ndarray) -> None:
    for row, vote in zip(counts.tolist(), majority_votes(counts), strict=True):
        assert (row.count(max(row)) > 1) == (vote.label is None)
        assert vote.label is None or row[vote.label] == max(row)
        assert vote.share == max(row) / sum(row)


def test_an_item_without_votes_is_refused_by_its_place() -> None:
    with pytest.raises(ValueError, match="Item 1 has no votes"):
        majority_votes([[1, 0, 0], [0, 0, 0]])


def test_other_choices_than_a_tie_b_are_refused() -> None:
    with pytest.raises(ValueError, match="the counts have 2 categories"):
        majority_votes([[1, 0]])
