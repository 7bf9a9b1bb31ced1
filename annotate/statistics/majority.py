"""Majority vote: one label per item with its share of the votes, and the votes as a soft label."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from annotate.statistics.counts import checked_counts
from annotate.statistics.judgments import CHOICES, TIE, A


@dataclass(frozen=True, slots=True)
class MajorityVote:
    """What the annotators said about one comparison.

    label          A, TIE or B: the choice with most votes; None for a split, where two or three share the lead
    share          votes of the leading choice / all votes (of each of the leading ones in a split)
    probability_a  soft label: (votes for a + ties / 2) / all votes
    votes          all votes
    """

    label: int | None
    share: float
    probability_a: float
    votes: int

    @property
    def unanimous(self) -> bool:
        return self.share == 1.0


def majority_votes(counts: ArrayLike) -> list[MajorityVote]:
    """The majority vote of every item, from votes (items, 3) in the order a, tie, b.

        label = argmax_c n_c if it is unique (a relative majority: 2-2-1 is a split, 2-1-1 is not)
        P(a)  = (n_a + n_tie / 2) / (n_a + n_tie + n_b)

    A split is not broken by chance or by order: whether to drop or to adjudicate it is the caller's decision.
    Raises ValueError for an item without votes, and for malformed counts.
    The baseline of Dawid & Skene (1979), Applied Statistics 28:20; half a win for a tie as in
    Kendall & Babington Smith (1940), Biometrika 31:324.
    """
    rows = checked_counts(counts)
    if rows.shape[1] != CHOICES:
        raise ValueError(f"A comparison has the choices a, tie, b; the counts have {rows.shape[1]} categories.")
    total = rows.sum(axis=1)
    if (total == 0).any():
        raise ValueError(f"Item {int(np.argmin(total))} has no votes ({int((total == 0).sum())} such items in all).")
    most = rows.max(axis=1)
    split = (rows == most[:, None]).sum(axis=1) > 1
    leading = rows.argmax(axis=1).tolist()
    labels = [None if undecided else label for label, undecided in zip(leading, split.tolist(), strict=True)]
    shares = (most / total).tolist()
    soft = ((rows[:, A] + rows[:, TIE] / 2) / total).tolist()
    return [MajorityVote(*item) for item in zip(labels, shares, soft, total.tolist(), strict=True)]
