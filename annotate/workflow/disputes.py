"""Disputes: the comparisons on which people differ, those that split them most first, and who comes after whom; beside
them those that nobody would judge."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet

from annotate.models import (
    Assignment,
    AssignmentState,
    Comparison,
    Judgment,
    Membership,
    Project,
    Prompt,
    Role,
)
from annotate.workflow.exceptions import UnknownFilter

STATES = ("undecided", "decided", "skipped", "all")


@dataclass(frozen=True)
class DisputeFilters:
    """`state` is one of STATES, `guideline` the number of a version under which one of the judgments was made; an empty
    text or None filters nothing."""

    state: str = "undecided"
    tag: str = ""
    language: str = ""
    guideline: int | None = None

    def given(self) -> dict[str, str]:
        """What an address needs to carry along; the state goes beside it."""
        named = {"tag": self.tag, "language": self.language, "guideline": str(self.guideline or "")}
        return {name: value for name, value in named.items() if value}


def filters_from(given: dict[str, str]) -> DisputeFilters:
    """Raises UnknownFilter for a state or a version that cannot be."""
    state, guideline = given.get("state") or "undecided", given.get("guideline", "").removeprefix("v")
    if state not in STATES:
        raise UnknownFilter.of("state", state, STATES)
    if guideline and not (guideline.isascii() and guideline.isdecimal() and len(guideline) < 10):
        raise UnknownFilter.of("guideline", guideline, ["1", "2", "…"])
    tag, language = (given.get(name, "").strip().replace("\0", "") for name in ("tag", "language"))
    return DisputeFilters(state, tag, language, int(guideline) if guideline else None)


def disputes(project: Project, filters: DisputeFilters) -> QuerySet[Comparison]:
    """In the order of the queue. What was decided without a dispute (a bad item, say) is among the decided ones."""
    rows = project.comparisons.all()
    if filters.state == "decided":
        rows = rows.filter(is_adjudicated=True)
    elif filters.state == "undecided":
        rows = rows.disputed().filter(is_adjudicated=False)
    elif filters.state == "skipped":
        rows = _skipped_by_all(project)
    else:
        rows = rows.disputed()
    if filters.tag or filters.language:
        rows = rows.filter(Exists(_prompts(filters).filter(pk=OuterRef("prompt"))))
    if filters.guideline is not None:
        under = Judgment.objects.counted().filter(guideline_version__number=filters.guideline)
        rows = rows.filter(Exists(under.filter(comparison=OuterRef("pk"))))
    return rows.most_split_first()


def following(rows: QuerySet[Comparison], comparison: Comparison) -> QuerySet[Comparison]:
    """Of rows in the order of the queue those that come after the comparison, which need not be among them any more."""
    split, judged = comparison.disagreement, comparison.judged
    same = Q(disagreement=split)
    return rows.filter(
        Q(disagreement__lte=split)  # Where the walk along the index begins; the rest settles the ties.
        & (
            Q(disagreement__lt=split)
            | (same & Q(judged__lt=judged))
            | (same & Q(judged=judged) & Q(pk__gt=comparison.pk))
        )
    )


def next_dispute(project: Project, filters: DisputeFilters, after: Comparison | None = None) -> Comparison | None:
    """The next one that is undecided; behind the last one the first that was passed over."""
    rows = disputes(project, DisputeFilters("undecided", filters.tag, filters.language, filters.guideline))
    if after is None:
        return rows.first()
    return following(rows, after).first() or rows.exclude(pk=after.pk).first()


def count_undecided(project: Project) -> int:
    return project.comparisons.disputed().filter(is_adjudicated=False).count()


def count_decided(project: Project) -> int:
    return project.comparisons.filter(is_adjudicated=True).count()


def count_skipped_by_all(project: Project) -> int:
    return _skipped_by_all(project).count()


def _skipped_by_all(project: Project) -> QuerySet[Comparison]:
    """Undecided, judged by nobody, out with nobody, and no annotator is left to whom it would be given."""
    skips = Assignment.objects.filter(annotator__in=project.memberships.values("user"), state=AssignmentState.SKIPPED)
    had = Assignment.objects.exclude(state=AssignmentState.EXPIRED).filter(
        comparison=OuterRef(OuterRef("pk")), annotator=OuterRef("user")
    )
    waiting = Membership.objects.filter(project=project, role=Role.ANNOTATOR, user__is_active=True).exclude(Exists(had))
    stuck = project.comparisons.filter(judged=0, taken=0, is_adjudicated=False, pk__in=skips.values("comparison"))
    return stuck.exclude(Exists(waiting))


def _prompts(filters: DisputeFilters) -> QuerySet[Prompt]:
    rows = Prompt.objects.tagged(filters.tag) if filters.tag else Prompt.objects.all()
    return rows.in_language(filters.language) if filters.language else rows
