"""Our estimates are those of crowd-kit and choix: of data in `peers.json` with what crowd-kit 1.4.2 and choix 0.4.1
made of it. They are no dependencies (crowd-kit alone brings scikit-learn and nltk); with them installed,
`benchmarks/truth_peers.py` compares on larger data.

Keys: `pairs` (won, lost) of five players and `rankings` of four of them, the best first, each with the centred
strengths of choix.ilsr_pairwise and choix.ilsr_rankings; `labels`, one string an item of five annotators' labels, with
DawidSkene's probabilities of the three labels (to four digits) and MACE's labels (of numpy's seed 0).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotate.statistics.bradley_terry import bradley_terry
from annotate.statistics.dawid_skene import dawid_skene
from annotate.statistics.judgments import Judgments
from annotate.statistics.mace import mace
from annotate.statistics.paired_comparisons import PairedComparisons
from annotate.statistics.plackett_luce import plackett_luce

PEERS: dict[str, Any] = json.loads(Path(__file__).with_name("peers.json").read_text())


@pytest.fixture(scope="module")
def judgments() -> Judgments:
    label = np.array([[int(each) for each in row] for row in PEERS["labels"]])
    item, annotator = np.indices(label.shape)
    return Judgments.from_arrays(item.ravel(), annotator.ravel(), label.ravel(), categories=3)


def test_bradley_terry_is_that_of_choix() -> None:
    won, lost = np.array(PEERS["pairs"]).T
    played = PairedComparisons.from_arrays(won, lost, np.zeros(won.size, dtype=np.int64))
    assert bradley_terry(played, "plain").strength == pytest.approx(np.array(PEERS["pairs_strength"]), abs=1e-6)


def test_plackett_luce_is_that_of_choix() -> None:
    seen = [np.array(ranking) for ranking in PEERS["rankings"]]
    assert plackett_luce(seen).strength == pytest.approx(np.array(PEERS["rankings_strength"]), abs=1e-6)


def test_dawid_skene_without_smoothing_is_that_of_crowd_kit(judgments: Judgments) -> None:
    theirs, ours = np.array(PEERS["dawid_skene"]), dawid_skene(judgments, strength=1e-3)
    assert (theirs.argmax(axis=1) == ours.labels).all()
    assert np.abs(theirs - ours.probabilities).max() < 0.01


def test_mace_is_that_of_crowd_kit_where_annotators_are_well_known(judgments: Judgments) -> None:
    theirs = np.array([int(each) for each in PEERS["mace"]])
    assert (theirs == mace(judgments).labels).mean() > 0.98
