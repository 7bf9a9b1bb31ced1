"""How well people agree on the held-out pairs: what a model of their judgments can be measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from training.ml.intervals import Clusters, mean_of_shares, some_of, unless_too_few, wins
from training.ml.pairs import Pair
from training.recipes.words import gettext_noop

Votes = tuple[int, int, int]
AGREES = numpy.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]])
"""What a vote for (chosen, neither, rejected) earns against each: a tie half, as everywhere."""

FEW = gettext_noop("Only %(n)s held-out pair(s) have two votes or more: at least %(enough)s are needed.")


def human_ceiling(pairs: Sequence[Pair], margins: Sequence[float], clusters: Clusters = None) -> dict[str, Any]:
    """Leave-one-out agreement: one annotator of a pair, drawn at random, against the majority of the others, on the
    pairs with two votes or more. The votes on a pair hang together, and so do the pairs of a prompt: the interval is
    over `clusters`, or else over pairs.

    Beside it, on the same pairs: `model`, its accuracy against the label of the snapshot, and `model_as_annotator`,
    the model in the annotator's place, against the same majorities of the others. People are compared with that: the
    label of a pair holds each annotator's own vote, the majority of the others does not. `two_votes` counts pairs on
    which nobody could disagree: had the two votes been split, there would be no label, and no pair, unless adjudicated.
    """
    voted = [pair.votes is not None and sum(pair.votes) > 1 for pair in pairs]
    judged = [(pair, m) for pair, m, is_in in zip(pairs, margins, voted, strict=True) if is_in]
    votes, prompts = [pair.votes for pair, _margin in judged], some_of(clusters, voted)
    calls = [1 - int(numpy.sign(margin)) for _pair, margin in judged]
    by_people = [leave_one_out(vote) for vote in votes]
    by_model = [as_annotator(vote, call) for vote, call in zip(votes, calls, strict=True)]
    return {
        **unless_too_few(mean_of_shares(by_people, prompts), FEW),
        "model": unless_too_few(wins([margin for _pair, margin in judged], prompts), FEW),
        "model_as_annotator": unless_too_few(mean_of_shares(by_model, prompts), FEW),
        "two_votes": sum(sum(pair.votes) == 2 and not pair.adjudicated for pair, _margin in judged),
    }


def leave_one_out(votes: Votes) -> float:
    """The expected agreement of one of the voters with the majority of the others, 0 to 1. A lead that two or three
    choices share is broken by lot. Of 2 to 1 it is 1/3: each of the two finds the others split, the one finds them
    both against it."""
    return sum(n * AGREES[vote] @ _majority_without(votes, vote) for vote, n in enumerate(votes) if n) / sum(votes)


def as_annotator(votes: Votes, call: int) -> float:
    """The same of somebody who says `call` (0 chosen, 1 neither, 2 rejected) in the place of each voter in turn."""
    return sum(n * AGREES[call] @ _majority_without(votes, vote) for vote, n in enumerate(votes) if n) / sum(votes)


def _majority_without(votes: Votes, one: int) -> numpy.ndarray:
    """The chance of each choice to be the majority when one vote for `one` is left out, shape (3,)."""
    others = numpy.array(votes)
    others[one] -= 1
    leading = others == others.max()
    return leading / leading.sum()
