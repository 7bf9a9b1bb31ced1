"""Annotators against final words: how often each one gave the answer that a reviewer settled on."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from annotate.models import Adjudication, Project, Verdict
from annotate.statistics.against_gold import against_gold
from annotate.statistics.against_reference import AgainstReference, ReferenceReport
from annotate.statistics.estimate import Outcome, Reason, Undefined
from annotate.workflow.judgment_columns import CODES, JudgmentColumns


@dataclass(frozen=True)
class AgainstFinalWords:
    """n_adjudicated: comparisons with a label as their final word; n_votes_seen: those decided with the votes in sight;
    n_bad: bad items. A person's judgments of comparisons that they decided themselves are left out."""

    n_adjudicated: int
    n_votes_seen: int
    n_bad: int
    report: ReferenceReport

    @property
    def overall(self) -> Outcome:
        return self.report.overall

    @property
    def compared(self) -> list[AgainstReference]:
        return [each for each in self.report.annotators if each.n]

    @cached_property
    def shares(self) -> dict[int, Outcome]:
        """By annotator, for everybody with a judgment that is not on a comparison of their own decision."""
        return {each.annotator: each.raw_agreement for each in self.report.annotators}

    def share_of(self, annotator: int) -> Outcome:
        return self.shares.get(annotator, Undefined(Reason.NO_GOLD))

    def as_json(self, names: dict[int, str]) -> dict[str, Any]:
        return {
            "n_adjudicated": self.n_adjudicated,
            "n_bad": self.n_bad,
            "against_adjudicated": self.overall.as_json(),
            "annotators_against_adjudicated": [
                {**each.as_json(), "annotator": names[each.annotator]} for each in self.compared
            ],
        }


def against_final_words(project: Project, columns: JudgmentColumns, *, replicates: int) -> AgainstFinalWords:
    """Value, interval and n, overall and for each annotator; `Undefined` where nothing judged is adjudicated."""
    current = Adjudication.objects.current().filter(comparison__project=project)
    labels = Adjudication.objects.labels().filter(comparison__project=project).order_by("comparison_id")
    rows = list(labels.values_list("comparison_id", "adjudicator_id", "verdict", "votes_seen"))
    items = np.array([row[0] for row in rows], dtype=np.int64)
    adjudicators = np.array([row[1] for row in rows], dtype=np.int64)
    gold = np.array([CODES[row[2]] for row in rows], dtype=np.int64)
    own = np.zeros(len(columns), dtype=bool)
    if rows and len(columns):
        place = np.minimum(np.searchsorted(items, columns.item), items.size - 1)
        own = (items[place] == columns.item) & (adjudicators[place] == columns.annotator)
    return AgainstFinalWords(
        n_adjudicated=len(rows),
        n_votes_seen=sum(row[3] for row in rows),
        n_bad=current.filter(verdict=Verdict.BAD).count(),
        report=against_gold(columns.where(~own).judgments(), items, gold, replicates=replicates),
    )
