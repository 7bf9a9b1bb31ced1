"""Judgments as they were with fewer votes an item, and as they may be with more: what the value of labels rests on."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from annotate.statistics.judgments import Judgments
from annotate.statistics.truth import Floats

MOST_STEPS = 8


def votes_to_try(most: int) -> list[int]:
    """2, 3, ... `most`; of more than MOST_STEPS numbers so many, closer together where votes are few."""
    if most - 1 <= MOST_STEPS:
        return list(range(2, most + 1))
    return np.unique(np.geomspace(2, most, MOST_STEPS).round().astype(int)).tolist()


def fewer_votes(judgments: Judgments, votes: int, random: np.random.Generator) -> Judgments:
    """At most `votes` judgments of every item, drawn without replacement; items and annotators keep their codes."""
    order = np.lexsort((random.random(len(judgments)), judgments.item))
    item = judgments.item[order]
    rank = np.arange(item.size) - np.searchsorted(item, item)
    kept = np.sort(order[rank < votes])
    return replace(
        judgments, item=judgments.item[kept], annotator=judgments.annotator[kept], label=judgments.label[kept]
    )


def simulated_votes(
    probabilities: Floats, confusion: Floats, more: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Votes (items, K) of `more` new annotators of the crowd for every item.

    A true label is drawn from probabilities (items, K), and answers from its row of confusion (K true, K said).
    """
    truth = _drawn(probabilities, random)
    votes = np.zeros(probabilities.shape, dtype=np.int64)
    for _ in range(more):
        votes[np.arange(truth.size), _drawn(confusion[truth], random)] += 1
    return votes


def _drawn(rows: Floats, random: np.random.Generator) -> NDArray[np.int64]:
    """One column of each row of probabilities, (n,)."""
    at = random.random(rows.shape[0])[:, None] * rows.sum(axis=1, keepdims=True)
    return np.minimum((at > rows.cumsum(axis=1)).sum(axis=1), rows.shape[1] - 1)
