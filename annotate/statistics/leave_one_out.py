"""Leave one out: every annotator against the majority of the others on the same item."""

import numpy as np
from numpy.typing import NDArray

from annotate.statistics.against_reference import NONE, ReferenceReport, compare_with_reference, share_of_reference
from annotate.statistics.chance_corrected import Resampling
from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Outcome, Reason
from annotate.statistics.intervals import LEVEL, REPLICATES
from annotate.statistics.judgments import Judgments


def leave_one_out(
    judgments: Judgments, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> ReferenceReport:
    """How often each annotator, and all together, said what most of the others said, and Cohen's kappa with that.

        reference of judgment i on item u = argmax_k (n_uk - [label_i = k]), if it is unique

    Judgments whose others are split, or absent, are left out: n says how many items remain. The annotator's own vote
    never counts for the reference, so agreement is not flattered as it is against the majority of all.
    Snow et al. (2008), EMNLP, 254 (each annotator against the others); Cohen (1960), Educ. Psychol. Meas. 20:37.
    """
    reference = majority_of_others(judgments)
    return compare_with_reference(judgments, reference, Reason.NO_MAJORITY, Resampling(replicates, level, seed))


def share_of_the_majority_of_others(
    judgments: Judgments, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> Outcome:
    """The overall share of `leave_one_out` alone, without the annotators one by one."""
    reference = majority_of_others(judgments)
    return share_of_reference(judgments, reference, Reason.NO_MAJORITY, Resampling(replicates, level, seed))


def majority_of_others(judgments: Judgments) -> NDArray[np.int64]:
    """The unique most frequent label of the other annotators of the item, (n,); NONE where there is none."""
    others = count_matrix(judgments)[judgments.item]
    others[np.arange(len(judgments)), judgments.label] -= 1
    most = others.max(axis=1, initial=0)
    unique = (most > 0) & ((others == most[:, None]).sum(axis=1) == 1)
    return np.where(unique, others.argmax(axis=1), NONE)
