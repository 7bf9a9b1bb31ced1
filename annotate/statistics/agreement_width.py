"""How the interval of agreement narrows with the number of judgments an item: fewer than now, now, and one more."""

from dataclasses import dataclass

import numpy as np

from annotate.statistics.counts import count_matrix
from annotate.statistics.dawid_skene import DawidSkene
from annotate.statistics.estimate import Estimate, Outcome, Undefined
from annotate.statistics.judgments import Judgments
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.more_votes import fewer_votes, simulated_votes, votes_to_try
from annotate.statistics.truth import Floats

DRAWS = 20
_REPLICATES = 300


@dataclass(frozen=True)
class WidthAt:
    """Alpha with `votes` judgments an item (at most), its interval averaged over the draws; or why there is none.

    simulated  whether judgments were invented for it
    """

    votes: int
    alpha: Outcome
    simulated: bool

    @property
    def width(self) -> float | None:
        return self.alpha.high - self.alpha.low if isinstance(self.alpha, Estimate) else None


def agreement_widths(
    judgments: Judgments, truth: DawidSkene, *, more: int = 1, draws: int = DRAWS, seed: int = 0
) -> list[WidthAt]:
    """Nominal alpha for 2, 3, ... judgments an item (`votes_to_try`), up to as many as there are, and with 1 .. `more`
    simulated ones on top.

    Fewer votes are drawn from the real ones; further ones from the posterior of each item and the crowd's confusion
    matrix (`more_votes`). So the simulated alpha is that of the fitted model; what counts is its width.
    """
    random = np.random.default_rng(seed)
    counts = count_matrix(judgments)
    most = int(counts.sum(axis=1).max()) if len(judgments) else 0
    real = [
        WidthAt(
            votes,
            _mean_alpha([count_matrix(fewer_votes(judgments, votes, random)) for _ in range(draws)], seed),
            simulated=False,
        )
        for votes in votes_to_try(most)
        if votes < most
    ]
    now = [WidthAt(most, krippendorff_alpha(counts, replicates=_REPLICATES, seed=seed), simulated=False)]
    then = [
        WidthAt(
            most + extra,
            _mean_alpha(
                [counts + simulated_votes(truth.probabilities, truth.crowd, extra, random) for _ in range(draws)], seed
            ),
            simulated=True,
        )
        for extra in range(1, more + 1)
    ]
    return real + now + then


def _mean_alpha(draws: list[Floats], seed: int) -> Outcome:
    found = [krippendorff_alpha(counts, replicates=_REPLICATES, seed=seed) for counts in draws]
    defined = [outcome for outcome in found if isinstance(outcome, Estimate)]
    if not defined:
        return next(outcome for outcome in found if isinstance(outcome, Undefined))
    value, low, high = (float(np.mean([getattr(each, name) for each in defined])) for name in ("value", "low", "high"))
    return Estimate(value=value, low=low, high=high, n=defined[0].n)
