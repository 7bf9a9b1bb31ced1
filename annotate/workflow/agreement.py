"""Agreement of a project: reads the counted judgments and asks `annotate/statistics/`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from annotate.models import Judgment, Project, User
from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Outcome
from annotate.statistics.judgments import TIE, A, B, Judgments
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.pairs_of_annotators import AnnotatorPair, pairs_of_annotators
from annotate.statistics.raw_agreement import TIE_RULES, raw_agreement

CODES = {"a": A, "tie": TIE, "b": B}
BOOTSTRAP = 1000


@dataclass(frozen=True)
class AgreementReport:
    """Every coefficient is an `Estimate` with interval and n (items), or `Undefined` with its reason."""

    n_items: int
    n_judgments: int
    n_annotators: int
    raw_agreement: dict[str, Outcome]
    krippendorff_alpha: dict[str, Outcome]
    pairs: list[AnnotatorPair]
    names: dict[int, str]

    def as_json(self) -> dict[str, Any]:
        return {
            "n_items": self.n_items,
            "n_judgments": self.n_judgments,
            "n_annotators": self.n_annotators,
            "raw_agreement": {name: outcome.as_json() for name, outcome in self.raw_agreement.items()},
            "krippendorff_alpha": {name: outcome.as_json() for name, outcome in self.krippendorff_alpha.items()},
            "annotator_pairs": [self._pair_json(pair) for pair in self.pairs],
        }

    def _pair_json(self, pair: AnnotatorPair) -> dict[str, Any]:
        return {
            "annotators": [self.names[int(pair.first)], self.names[int(pair.second)]],
            "n_common": pair.n_common,
            "raw_agreement": pair.raw_agreement.as_json(),
            "krippendorff_alpha": pair.alpha.as_json(),
        }


def agreement_of(*, project: Project, bootstrap: int = BOOTSTRAP) -> AgreementReport:
    """Project-wide and per pair of annotators, from the judgments that count (surplus and retracted ones left out)."""
    judgments = _judgments(project)
    counts = count_matrix(judgments)
    names = dict(User.objects.filter(pk__in=judgments.annotators.tolist()).values_list("pk", "username"))
    return AgreementReport(
        n_items=judgments.items.size,
        n_judgments=len(judgments),
        n_annotators=judgments.annotators.size,
        raw_agreement={rule: raw_agreement(counts, rule, replicates=bootstrap) for rule in TIE_RULES},
        krippendorff_alpha={"nominal": krippendorff_alpha(counts, metric="nominal", replicates=bootstrap)},
        pairs=pairs_of_annotators(judgments, replicates=bootstrap),
        names=names,
    )


def _judgments(project: Project) -> Judgments:
    rows = Judgment.objects.counted().filter(comparison__project=project)
    triples = list(rows.order_by().values_list("comparison_id", "annotator_id", "choice").iterator(chunk_size=10000))
    items = np.array([item for item, _annotator, _choice in triples], dtype=np.int64)
    annotators = np.array([annotator for _item, annotator, _choice in triples], dtype=np.int64)
    labels = np.array([CODES[choice] for _item, _annotator, choice in triples], dtype=np.int64)
    return Judgments.from_arrays(items, annotators, labels)
