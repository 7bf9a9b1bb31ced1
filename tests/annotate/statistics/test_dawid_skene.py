"""Dawid-Skene and MACE: confusion matrices, an adversary, smoothing, spamming, speed."""

import time

import numpy as np
import pytest

from annotate.statistics.dawid_skene import dawid_skene
from annotate.statistics.judgments import TIE, A, B, Judgments
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
