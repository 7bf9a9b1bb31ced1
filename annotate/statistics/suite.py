"""All agreement of a project in one call: every coefficient of coded judgments, with its interval or its reason."""

from dataclasses import dataclass
from typing import Any

from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Outcome
from annotate.statistics.fleiss_kappa import fleiss_kappa, fleiss_kappa_per_category
from annotate.statistics.gwet_ac import gwet_ac1, gwet_ac2
from annotate.statistics.intervals import LEVEL, REPLICATES
from annotate.statistics.judgments import Judgments
from annotate.statistics.kappa_of_pairs import LEAST_COMMON, PairKappa, cohen_kappa_of_pairs
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.label_distances import Metric
from annotate.statistics.leave_one_out import share_of_the_majority_of_others
from annotate.statistics.raw_agreement import TIE_RULES, raw_agreement

METRICS: tuple[Metric, ...] = ("nominal", "ordinal")


@dataclass(frozen=True)
class AgreementSuite:
    """Each number is an `Estimate` with interval, n (items) and chance level, or `Undefined` with its reason.

    raw_agreement       by rule for ties
    krippendorff_alpha  nominal and ordinal (a < tie < b)
    fleiss_by_label     of a, tie, b, each against the rest
    leave_one_out       share of the judgments that are the majority of the others
    pairs               Cohen's kappa of every two annotators with enough common items
    """

    n_items: int
    n_judgments: int
    n_annotators: int
    raw_agreement: dict[str, Outcome]
    krippendorff_alpha: dict[str, Outcome]
    fleiss_kappa: Outcome
    fleiss_by_label: list[Outcome]
    gwet_ac1: Outcome
    gwet_ac2: Outcome
    leave_one_out: Outcome
    pairs: list[PairKappa]

    def as_json(self) -> dict[str, Any]:
        return {
            "n_items": self.n_items,
            "n_judgments": self.n_judgments,
            "n_annotators": self.n_annotators,
            "raw_agreement": {rule: outcome.as_json() for rule, outcome in self.raw_agreement.items()},
            "krippendorff_alpha": {metric: found.as_json() for metric, found in self.krippendorff_alpha.items()},
            "fleiss_kappa": self.fleiss_kappa.as_json(),
            "fleiss_by_label": [outcome.as_json() for outcome in self.fleiss_by_label],
            "gwet_ac1": self.gwet_ac1.as_json(),
            "gwet_ac2": self.gwet_ac2.as_json(),
            "leave_one_out": self.leave_one_out.as_json(),
            "cohen_kappa": [pair.as_json() for pair in self.pairs],
        }


def agreement_suite(
    judgments: Judgments,
    *,
    least_common: int = LEAST_COMMON,
    most_pairs: int | None = None,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> AgreementSuite:
    """Everything from one `Judgments.from_arrays(items, annotators, labels)` in the choices a, tie, b.

    AC2 has quadratic weights, as the ordinal reading of a tie between a and b has. Time: the counting is linear in the
    judgments, the bootstrap of the pooled coefficients does not grow with them, that of Cohen's kappa grows with
    the pairs of annotators that share `least_common` items, `most_pairs` of them at most. Raises ValueError for other
    categories than the three.
    """
    counts = count_matrix(judgments)
    how: dict[str, Any] = {"replicates": replicates, "level": level, "seed": seed}
    return AgreementSuite(
        n_items=judgments.items.size,
        n_judgments=len(judgments),
        n_annotators=judgments.annotators.size,
        raw_agreement={rule: raw_agreement(counts, rule, **how) for rule in TIE_RULES},
        krippendorff_alpha={metric: krippendorff_alpha(counts, metric=metric, **how) for metric in METRICS},
        fleiss_kappa=fleiss_kappa(counts, **how),
        fleiss_by_label=fleiss_kappa_per_category(counts, **how),
        gwet_ac1=gwet_ac1(counts, **how),
        gwet_ac2=gwet_ac2(counts, "quadratic", **how),
        leave_one_out=share_of_the_majority_of_others(judgments, **how),
        pairs=cohen_kappa_of_pairs(judgments, least_common=least_common, most_pairs=most_pairs, **how),
    )
