"""Agreement on how much better a response is: Krippendorff's alpha over the degrees and the tie between them."""

import numpy as np

from annotate.models import Degree
from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Outcome
from annotate.statistics.intervals import REPLICATES
from annotate.statistics.judgments import TIE, A, Judgments
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.workflow.judgment_columns import JudgmentColumns

MOST = max(Degree).value
ANSWERS = 2 * MOST + 1


def alpha_of_degrees(columns: JudgmentColumns, *, replicates: int = REPLICATES) -> Outcome | None:
    """Ordinal, from A much better over a tie to B much better; None where no judgment has a degree.

    Votes for a side that say no degree have no place on that scale, and are left out; so are comparisons of which
    nobody was asked for one, whose ties alone would count there, and all in agreement."""
    if not columns.degree.any():
        return None
    graded = np.isin(columns.item, columns.item[columns.asked])
    placed = columns.where(graded & ((columns.degree > 0) | (columns.label == TIE)))
    answer = MOST + placed.degree * (1 - 2 * (placed.label == A))
    judgments = Judgments.from_arrays(placed.item, placed.annotator, answer, categories=ANSWERS)
    return krippendorff_alpha(count_matrix(judgments), metric="ordinal", replicates=replicates)
