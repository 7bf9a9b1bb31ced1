"""Aggregation: the votes on each comparison become one label with a probability."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from django.utils.translation import gettext as _

from annotate.models import Aggregation, Comparison
from annotate.statistics.counts import count_matrix
from annotate.statistics.crowd_bt import crowd_bt
from annotate.statistics.dawid_skene import dawid_skene
from annotate.statistics.estimate import Undefined
from annotate.statistics.judgments import TIE, A, B, Judgments
from annotate.statistics.mace import mace
from annotate.statistics.majority import majority_votes
from annotate.statistics.paired_comparisons import PairedComparisons
from annotate.statistics.truth import UNDECIDED, Inference
from annotate.workflow.exceptions import NothingToInferFrom
from annotate.workflow.snapshot_rows import Vote

CODES = {"a": A, "tie": TIE, "b": B}
# Far finer than what a handful of votes can mean, and coarser than the rounding of sums: a hash must not hang on the
# last bits of another processor.
DECIMALS = 6

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """The label of one comparison (A, TIE, B; None where two share the lead), P(a is better), and how many voted."""

    label: int | None
    probability_a: float
    votes: int


def decide(aggregation: str, comparisons: Sequence[Comparison], votes: Sequence[Sequence[Vote]]) -> list[Decision]:
    """One decision for each comparison, from its votes (at least one); the same votes give the same decisions.

    Majority looks at each comparison alone. The others learn from all of them together how far each person can
    be relied on; P(a is better) = p_a + p_tie / 2 of their posterior, or with Crowd-BT, which has no true label, of the
    vote that the strengths let expect of a faithful annotator.

    Raises NothingToInferFrom where the votes do not say how far anybody can be relied on.
    """
    if not comparisons:
        return []
    item = np.repeat(np.arange(len(votes)), [len(of_one) for of_one in votes])
    annotator = np.array([vote.annotator for of_one in votes for vote in of_one])
    label = np.array([CODES[vote.choice] for of_one in votes for vote in of_one])
    judgments = Judgments.from_arrays(item, annotator, label)
    if aggregation == Aggregation.MAJORITY:
        return [
            Decision(each.label, each.probability_a, each.votes) for each in majority_votes(count_matrix(judgments))
        ]
    return _decisions(aggregation, INFERENCES[aggregation](judgments, comparisons), np.bincount(item).tolist())


def _decisions(aggregation: str, found: Inference, votes: list[int]) -> list[Decision]:
    if isinstance(found, Undefined):
        raise NothingToInferFrom(
            _("%(name)s has nothing to learn from: no comparison was judged by two people.")
            % {"name": Aggregation(aggregation).label},
            _("Let a second person judge some of the comparisons, or freeze by majority."),
            where="aggregation",
        )
    if not found.converged:
        log.warning("%s stopped after %s steps before it had converged.", aggregation, found.iterations)
    labels = [None if label == UNDECIDED else label for label in found.labels.tolist()]
    soft = found.soft_labels.round(DECIMALS).tolist()
    return [Decision(*each) for each in zip(labels, soft, votes, strict=True)]


def _crowd_bt(judgments: Judgments, comparisons: Sequence[Comparison]) -> Inference:
    """The players are the responses, so that a response in several comparisons has one strength."""
    sides = np.array([(each.response_a_id, each.response_b_id) for each in comparisons])[judgments.item]
    return crowd_bt(
        PairedComparisons.from_arrays(
            sides[:, 0], sides[:, 1], judgments.label, annotators=judgments.annotator, items=judgments.item
        )
    )


INFERENCES: dict[str, Callable[[Judgments, Sequence[Comparison]], Inference]] = {
    Aggregation.DAWID_SKENE: lambda judgments, _comparisons: dawid_skene(judgments),
    Aggregation.MACE: lambda judgments, _comparisons: mace(judgments),
    Aggregation.CROWD_BT: _crowd_bt,
}
