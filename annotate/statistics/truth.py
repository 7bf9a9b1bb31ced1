"""What every truth inference returns: a probability per label, a reliability per annotator, and how it ended."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.statistics.estimate import Undefined
from annotate.statistics.judgments import CHOICES, A, B

Floats = NDArray[np.floating[Any]]

UNDECIDED = -1
_EQUAL = 1e-9


@dataclass(frozen=True, eq=False)
class Truth:
    """Inferred labels.

    probabilities   (items, K) of each label being the true one; a row sums to 1
    reliability     (annotators,) probability that a label of this annotator is the true one
    converged       whether the last step changed next to nothing (False: it ran out of steps)
    iterations      steps made
    log_likelihood  (steps,) what the method climbs, after each step: the log-likelihood, plus the log-density of
                    the prior where it has one (up to a constant); it never falls

    Raises ValueError for a number that is not finite, so that no NaN can reach a label or a page.
    """

    probabilities: Floats
    reliability: Floats
    converged: bool
    iterations: int
    log_likelihood: Floats

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ValueError(f"{type(self).__name__}.{field.name} must be finite; return Undefined instead.")

    @property
    def labels(self) -> NDArray[np.int64]:
        """(items,) the most probable label, UNDECIDED where two share the lead."""
        ordered = np.sort(self.probabilities, axis=1)
        drawn = ordered[:, -1] - ordered[:, -2] < _EQUAL
        return np.where(drawn, UNDECIDED, self.probabilities.argmax(axis=1))

    @property
    def soft_labels(self) -> Floats:
        """(items,) P(a is better) = p_a + p_tie / 2. Raises ValueError for other labels than a, tie, b."""
        return soft_labels(self.probabilities)


Inference = Truth | Undefined


def soft_labels(probabilities: Floats) -> Floats:
    """P(a is better) = p_a + p_tie / 2, (items, 3) -> (items,): half a win for a tie."""
    if probabilities.shape[1] != CHOICES:
        raise ValueError(f"A soft label needs a, tie, b; there are {probabilities.shape[1]} labels.")
    # The same as 1/2 + (p_a - p_b) / 2, which swapping a and b turns into exactly one minus itself.
    return 0.5 + (probabilities[:, A] - probabilities[:, B]) / 2
