"""Our estimates are those of crowd-kit and choix, where these are installed (they are no dependencies)."""

from typing import Any

import numpy as np
import pytest

from annotate.statistics.bradley_terry import bradley_terry
from annotate.statistics.dawid_skene import dawid_skene
from annotate.statistics.judgments import Judgments
from annotate.statistics.mace import mace
from annotate.statistics.plackett_luce import plackett_luce

from .crowds import crowd
from .games import games
from .test_plackett_luce import rankings

STRENGTH = np.array([1.0, 0.4, 0.0, -0.5, -0.9])


def test_bradley_terry_is_that_of_choix() -> None:
    choix = pytest.importorskip("choix")
    played = games(STRENGTH, 500, np.random.default_rng(1), model="plain", tie=0.0)
    first_won = played.label == 0
    won = np.where(first_won, played.first, played.second), np.where(first_won, played.second, played.first)
    theirs = choix.ilsr_pairwise(5, np.stack(won, axis=1).tolist())
    assert bradley_terry(played, "plain").strength == pytest.approx(theirs - theirs.mean(), abs=1e-6)


def test_plackett_luce_is_that_of_choix() -> None:
    choix = pytest.importorskip("choix")
    seen = rankings(300, 4, np.random.default_rng(2))
    theirs = choix.ilsr_rankings(5, [ranking.tolist() for ranking in seen])
    assert plackett_luce(seen).strength == pytest.approx(theirs - theirs.mean(), abs=1e-6)


def test_dawid_skene_without_smoothing_is_that_of_crowd_kit() -> None:
    judgments, theirs = _of_crowd_kit("DawidSkene")
    ours = dawid_skene(judgments, strength=1e-3)
    assert (theirs.labels_.sort_index().to_numpy() == ours.labels).all()
    assert np.abs(theirs.probas_.sort_index()[[0, 1, 2]].to_numpy() - ours.probabilities).max() < 0.01


def test_mace_is_that_of_crowd_kit_where_annotators_are_well_known() -> None:
    judgments, theirs = _of_crowd_kit("MACE")
    assert (theirs.labels_.sort_index().to_numpy() == mace(judgments).labels).mean() > 0.98


def _of_crowd_kit(name: str) -> tuple[Judgments, Any]:
    """1,000 labels an annotator, and what the peer makes of them."""
    aggregation, pandas = pytest.importorskip("crowdkit.aggregation"), pytest.importorskip("pandas")
    judgments, _truth = crowd([0.9, 0.8, 0.7, 0.6, 0.2], 1000, np.random.default_rng(3))
    frame = pandas.DataFrame({"task": judgments.item, "worker": judgments.annotator, "label": judgments.label})
    return judgments, getattr(aggregation, name)().fit(frame)
