"""Dawid-Skene and MACE: confusion matrices, an adversary, smoothing, spamming, speed."""

import time

import numpy as np
import pytest

from annotate.statistics.confusion_em import rows_to_one, votes_of_the_crowd
from annotate.statistics.dawid_skene import dawid_skene
from annotate.statistics.judgments import TIE, A, B, Judgments
from annotate.statistics.label_value import label_values
from annotate.statistics.mace import mace
from annotate.statistics.vote_shares import vote_shares

from .crowds import crowd


def test_an_adversary_is_recovered_and_turned_round() -> None:
    judgments, truth = crowd([0.85, 0.85, 0.8, 0.05, 0.05], 400, np.random.default_rng(1), categories=2)
    found = dawid_skene(judgments)
    assert found.reliability[3:].max() < 0.15
    assert found.confusion[3, 0, 1] > 0.85
    assert (found.labels == truth).mean() > 0.97 > 0.9 > (vote_shares(judgments).labels == truth).mean()


def test_confusion_matrices_are_recovered() -> None:
    random = np.random.default_rng(2)
    truth = random.choice(3, 4000, p=[0.5, 0.2, 0.3])
    matrices = np.array(
        [
            [[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.05, 0.05, 0.9]],
            [[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]],
            [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]],
            [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]],
        ]
    )
    labels = np.array([[random.choice(3, p=matrix[t]) for matrix in matrices] for t in truth])
    item, annotator = np.indices(labels.shape)
    found = dawid_skene(Judgments.from_arrays(item.ravel(), annotator.ravel(), labels.ravel()))
    assert np.abs(found.confusion - matrices).max() < 0.06
    assert np.abs(found.prior - [0.5, 0.2, 0.3]).max() < 0.03


def test_an_annotator_of_one_label_is_taken_for_one_of_the_crowd() -> None:
    judgments, _truth = crowd([0.9, 0.85, 0.8], 300, np.random.default_rng(3))
    with_a_stranger = Judgments.from_arrays(
        np.append(judgments.item, 0), np.append(judgments.annotator, 99), np.append(judgments.label, 0)
    )
    found = dawid_skene(with_a_stranger)
    assert np.abs(found.confusion[-1] - found.crowd).max() < 0.06
    assert found.crowd.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("judged_twice", [0.1, 0.5, 1.0])
def test_comparisons_judged_once_do_not_make_the_crowd_look_better(judged_twice: float) -> None:
    """People who are right three times in four, and mostly nobody beside them who could disagree."""
    judgments, truth = crowd([0.75] * 10, 1000, np.random.default_rng(8), categories=2, votes=2)
    _, first = np.unique(judgments.item, return_index=True)
    kept = judgments.item < 1000 * judged_twice
    kept[first] = True
    fewer = Judgments.from_arrays(*(each[kept] for each in (judgments.item, judgments.annotator, judgments.label)))
    found = dawid_skene(fewer)
    assert np.diag(found.crowd)[[0, 1]] == pytest.approx([0.75, 0.75], abs=0.06)
    right = (found.labels == truth).mean()
    assert found.probabilities.max(axis=1).mean() == pytest.approx(right, abs=0.08)
    if judged_twice < 1:
        gain = label_values(found.probabilities, found.crowd, most=1)[1].gain.value
        assert gain < 0.05, "a second vote changes a label, and next to never which one is more probable"


def test_a_few_pairs_of_votes_do_not_say_that_people_know_nothing() -> None:
    judgments, _truth = crowd([0.9] * 4, 200, np.random.default_rng(9), votes=1)
    other = (judgments.label[0] + 1) % 3
    with_a_dispute = Judgments.from_arrays(
        np.append(judgments.item, 0), np.append(judgments.annotator, 99), np.append(judgments.label, other)
    )
    found = dawid_skene(with_a_dispute)
    assert (np.diag(found.crowd) > 0.6).all()
    alone = np.bincount(with_a_dispute.item) == 1
    assert (found.labels == vote_shares(with_a_dispute).labels)[alone].all()


def test_the_crowd_confuses_what_its_members_confuse() -> None:
    matrix = np.array([[0.85, 0.1, 0.05], [0.2, 0.6, 0.2], [0.05, 0.1, 0.85]])
    random = np.random.default_rng(10)
    truth = random.choice(3, 4000, p=[0.4, 0.2, 0.4])
    labels = np.array([random.choice(3, 3, p=matrix[t]) for t in truth])
    item, annotator = np.indices(labels.shape)
    judgments = Judgments.from_arrays(item.ravel(), annotator.ravel(), labels.ravel())
    assert np.abs(rows_to_one(votes_of_the_crowd(judgments)) - matrix).max() < 0.05


def test_more_smoothing_pulls_annotators_together() -> None:
    judgments, _truth = crowd([0.95, 0.9, 0.4], 100, np.random.default_rng(4))
    spread = [np.ptp(dawid_skene(judgments, strength=strength).reliability) for strength in (1, 16, 1000)]
    assert spread[0] > spread[1] > spread[2]
    with pytest.raises(ValueError, match="above 0"):
        dawid_skene(judgments, strength=0)


def test_mace_silences_a_spammer_and_says_what_he_says() -> None:
    judgments, truth = crowd([0.9, 0.9, 0.8], 300, np.random.default_rng(5))
    spam = Judgments.from_arrays(
        np.concatenate([judgments.item, np.arange(300)]),
        np.concatenate([judgments.annotator, np.full(300, 9)]),
        np.concatenate([judgments.label, np.full(300, TIE)]),
    )
    found = mace(spam)
    assert found.competence[-1] < 0.05 < 0.7 < found.competence[0]
    assert found.spam[-1, TIE] > 0.95
    assert (found.labels == truth).mean() > 0.95


def test_mace_takes_nobody_for_a_spammer_because_ties_are_rare() -> None:
    """Two votes each; of people who are right 85 times in 100, θ is 0.7."""
    judgments, truth = crowd([0.85] * 10, 1000, np.random.default_rng(7), categories=2, votes=2)
    label = np.where(judgments.label == 1, B, A)
    no_ties = Judgments.from_arrays(judgments.item, judgments.annotator, label, categories=3)
    found = mace(no_ties)
    assert found.competence.mean() == pytest.approx(0.7, abs=0.1)
    assert found.prior[TIE] < 0.01 and found.probabilities[:, TIE].mean() < 0.01
    right = found.labels == np.where(truth == 1, B, A)
    assert found.probabilities.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.05)


def test_a_million_judgments_take_seconds() -> None:
    random = np.random.default_rng(6)
    items, annotators = 200_000, 2_000
    truth = random.choice([A, TIE, B], items)
    who = (random.integers(0, annotators, items)[:, None] + 7 * np.arange(5)) % annotators
    knows = random.random((items, 5)) < random.beta(6, 3, annotators)[who]
    label = np.where(knows, truth[:, None], random.integers(0, 3, (items, 5)))
    judgments = Judgments.from_arrays(np.repeat(np.arange(items), 5), who.ravel(), label.ravel())
    began = time.perf_counter()
    found = dawid_skene(judgments)
    assert time.perf_counter() - began < 20
    assert (found.labels == truth).mean() > 0.94
