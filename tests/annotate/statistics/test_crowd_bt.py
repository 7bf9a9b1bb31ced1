"""Crowd-BT: annotators who turn everything round, pairs that hang together with no other, finite wherever."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.statistics.crowd_bt import crowd_bt
from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.judgments import TIE, A, B
from annotate.statistics.paired_comparisons import PairedComparisons

from .games import games

STRENGTH = np.linspace(-1.5, 1.5, 12)


def _with_adversaries(random: np.random.Generator, faithful: list[float]) -> PairedComparisons:
    played = games(STRENGTH, 600, random, overlap=len(faithful), tie=-1.0)
    annotator = np.tile(np.arange(len(faithful)), 600)
    turned = random.random(annotator.size) > np.array(faithful)[annotator]
    label = np.where(turned, 2 - played.label, played.label)
    return PairedComparisons.from_arrays(played.first, played.second, label, annotators=annotator, items=played.item)


def test_faith_and_strengths_are_recovered_from_a_mixed_crowd() -> None:
    faithful = [0.98, 0.9, 0.75, 0.5, 0.1]
    found = crowd_bt(_with_adversaries(np.random.default_rng(1), faithful))
    assert found.converged
    assert np.abs(found.reliability - faithful).max() < 0.08
    assert np.corrcoef(found.strength, STRENGTH)[0, 1] > 0.98
    assert found.tie == pytest.approx(-1.0, abs=0.2)


def test_pairs_of_their_own_are_decided_with_what_is_known_of_the_annotators() -> None:
    """Three of five are faithful on 200 pairs without a common player, two turn everything round."""
    random = np.random.default_rng(2)
    truth = random.choice([A, B], 200)
    label = np.where(np.array([1, 1, 1, 0, 0]) == 1, truth[:, None], 2 - truth[:, None])
    label = np.where(random.random(label.shape) < 0.1, 2 - label, label)
    pair, annotator = np.indices(label.shape)
    comparisons = PairedComparisons.from_arrays(
        2 * pair.ravel(), 2 * pair.ravel() + 1, label.ravel(), annotators=annotator.ravel(), items=pair.ravel()
    )
    found = crowd_bt(comparisons)
    votes = np.where((label == A).sum(axis=1) > 2, A, B)
    assert (votes == truth).mean() < 0.9 < 0.97 < (found.labels == truth).mean()
    assert found.reliability[3:].max() < 0.2


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=15))
@settings(deadline=None, max_examples=40)
def test_it_is_finite_wherever_there_is_a_judgment(rows: list[tuple[int, int, int]]) -> None:
    first, second = [one for one, _, _ in rows], [(one + step) % 4 for one, step, _ in rows]
    found = crowd_bt(
        PairedComparisons.from_arrays(
            first, second, [label for _, _, label in rows], annotators=np.arange(len(rows)) % 3
        )
    )
    assert found.probabilities.sum(axis=1) == pytest.approx(1)
    assert ((found.reliability > 0) & (found.reliability < 1)).all()
    assert (np.diff(found.log_likelihood) > -1e-6).all()


def test_swapping_the_sides_turns_the_labels_round() -> None:
    one = _with_adversaries(np.random.default_rng(3), [0.9, 0.8, 0.3])
    other = PairedComparisons.from_arrays(
        one.second, one.first, 2 - one.label, annotators=one.annotator, items=one.item
    )
    assert crowd_bt(other).soft_labels == pytest.approx(1 - crowd_bt(one).soft_labels, abs=1e-3)


def test_the_names_of_players_and_annotators_do_not_matter() -> None:
    one = _with_adversaries(np.random.default_rng(4), [0.9, 0.8, 0.3])
    random = np.random.default_rng(5)
    players, annotators = random.permutation(12), random.permutation(3)
    other = crowd_bt(
        PairedComparisons.from_arrays(
            players[one.first], players[one.second], one.label, annotators=annotators[one.annotator], items=one.item
        )
    )
    found = crowd_bt(one)
    assert other.strength[players] == pytest.approx(found.strength, abs=1e-3)
    assert other.reliability[annotators] == pytest.approx(found.reliability, abs=1e-3)


@pytest.mark.parametrize(("label", "soft"), [(A, 1), (TIE, 0.5), (B, 0)])
def test_one_annotator_of_one_choice_is_believed_in_part(label: int, soft: float) -> None:
    found = crowd_bt(PairedComparisons.from_arrays([0, 2, 4], [1, 3, 5], [label] * 3))
    assert (np.sign(found.soft_labels - 0.5) == np.sign(soft - 0.5)).all() or label == TIE
    assert found.soft_labels == pytest.approx(np.full(3, found.soft_labels[0]))
    assert (np.abs(found.soft_labels - soft) < 0.4).all()


def test_nothing_is_undefined() -> None:
    assert crowd_bt(PairedComparisons.from_arrays([], [], [])) == Undefined(Reason.NO_JUDGMENTS)
