"""Progress of a project and of one person in it."""

from dataclasses import dataclass

from django.db.models import Count, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from annotate.models import AssignmentState, Project, User
from annotate.workflow.bad_items import WANTED


@dataclass(frozen=True)
class Progress:
    """Counts; `wanted` is the sum of all overlaps. A bad item is complete as it is: no more is wanted of it."""

    comparisons: int
    complete: int
    judgments: int
    wanted: int
    mine_judged: int = 0
    mine_skipped: int = 0
    mine_open: int = 0

    @property
    def percent(self) -> float:
        return 100 * self.judgments / self.wanted if self.wanted else 0.0

    @property
    def mine_percent(self) -> float:
        mine = self.mine_judged + self.mine_skipped
        return 100 * mine / (mine + self.mine_open) if mine + self.mine_open else 0.0


def progress_of(project: Project, annotator: User | None = None) -> Progress:
    """`mine_open` counts the comparisons this person could still get (or has open now). One query."""
    counts = {
        "comparisons": Count("id"),
        "complete": Count("id", filter=Q(judged__gte=F("asked"))),
        "judgments": Coalesce(Sum("judged"), 0),
        "wanted": Coalesce(Sum("asked"), 0),
    }
    rows = project.comparisons.annotate(asked=WANTED)
    if annotator is None:
        return Progress(**rows.aggregate(**counts))
    mine = annotator.assignments.filter(comparison=OuterRef("pk")).values("state")[:1]
    answered = Q(mine__in=[AssignmentState.JUDGED, AssignmentState.SURPLUS])
    unseen = Q(taken__lt=F("asked")) & (Q(mine__isnull=True) | Q(mine=AssignmentState.EXPIRED))
    return Progress(
        **rows.annotate(mine=Subquery(mine)).aggregate(
            **counts,
            mine_judged=Count("id", filter=answered),
            mine_skipped=Count("id", filter=Q(mine=AssignmentState.SKIPPED)),
            mine_open=Count("id", filter=unseen | Q(mine=AssignmentState.LEASED)),
        )
    )
