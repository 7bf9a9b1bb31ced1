"""The majority as an inference: shares of the votes in the form that every truth inference returns."""

import numpy as np

from annotate.statistics.confusion_em import rows_to_one
from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.judgments import Judgments
from annotate.statistics.truth import Truth


def vote_shares(judgments: Judgments) -> Truth | Undefined:
    """Shares of the votes as probabilities: every annotator counts the same.

        P(t_i = t) = n_it / n_i
        reliability_j = mean over the judgments of j of the share of votes that their label has, their own included

    `annotate.statistics.majority` gives the labels, with splits. Undefined without judgments.
    """
    if not len(judgments):
        return Undefined(Reason.NO_JUDGMENTS)
    shares = rows_to_one(count_matrix(judgments).astype(float))
    own = shares[judgments.item, judgments.label]
    return Truth(
        probabilities=shares,
        reliability=np.bincount(judgments.annotator, own) / np.bincount(judgments.annotator),
        converged=True,
        iterations=1,
        log_likelihood=np.array([float(np.log(own).sum())]),
    )
