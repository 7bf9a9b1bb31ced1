"""What the agreement page shows, as JSON: of a large project kept in the database, of a small one computed at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from annotate.models import AgreementSummary, Project
from annotate.workflow.agreement_groups import BREAKDOWNS
from annotate.workflow.agreement_parts import parts_of
from annotate.workflow.judgment_columns import read_columns
from annotate.workflow.judgment_stamp import counted_judgments, judgment_stamp, last_word

# Up to so many judgments a page computes its numbers itself, in about a second.
LIVE = 20_000
# Changes with what the numbers mean: kept ones of an earlier meaning are computed again.
VERSION = 2


@dataclass(frozen=True)
class Summary:
    """`body` is None while nothing has been computed yet; stale: judgments have come (or gone) since."""

    body: dict[str, Any] | None
    made_at: datetime | None
    is_stale: bool


def is_large(project: Project) -> bool:
    """Whether nobody is to wait for its numbers: they are those that are kept."""
    return counted_judgments(project) > LIVE


def summary_for(project: Project, by: str) -> Summary:
    """Reads only. Of a small project `body` has the breakdown `by` alone, of a large one all of them."""
    judgments, stamp = _stamp(project)
    if judgments <= LIVE:
        columns = read_columns(project, weeks=by == "week")
        return Summary(parts_of(project, columns, [by]), timezone.now(), is_stale=False)
    kept = AgreementSummary.objects.filter(project=project).first()
    if kept is None:
        return Summary(None, None, is_stale=True)
    return Summary(kept.body, kept.made_at, is_stale=kept.stamp != stamp)


def refresh_summary(project: Project) -> bool:
    """Compute and keep the summary of a large project; False where there is nothing new. Safe to run twice."""
    judgments, stamp = _stamp(project)
    if judgments <= LIVE or AgreementSummary.objects.filter(project=project, stamp=stamp).exists():
        return False
    body = parts_of(project, read_columns(project, weeks=True), list(BREAKDOWNS))
    AgreementSummary.objects.update_or_create(
        project=project, defaults={"stamp": stamp, "body": body, "made_at": timezone.now()}
    )
    return True


def _stamp(project: Project) -> tuple[int, str]:
    """Judgments that count; and their stamp with that of the final words, which a small project does not need."""
    judgments = counted_judgments(project)
    if judgments <= LIVE:
        return judgments, ""
    words = last_word(project)
    stamp = judgment_stamp(project, judgments)
    return judgments, f"{stamp}-{words or 0}-{VERSION}"
