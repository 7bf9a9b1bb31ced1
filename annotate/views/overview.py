"""A project's first page: the next card for those who judge, the state of affairs for those who lead."""

from datetime import date, timedelta
from typing import Any

from django.db.models import Avg, Count, Max, Q
from django.db.models.functions import TruncDate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from annotate.access import require_role
from annotate.models import Judgment, Project, Role, shown_name
from annotate.views.next_steps import next_steps
from annotate.workflow.guidelines import current_version, last_read_version, unread_version
from annotate.workflow.progress import progress_of

DAYS = 14
MOST_PEOPLE = 500


@require_safe
@require_role(Role.ANNOTATOR)
def show_overview(request: HttpRequest, project: Project) -> HttpResponse:
    version = current_version(project)
    unread = bool(version and unread_version(project, request.user))
    context: dict[str, Any] = {
        "project": project,
        "progress": progress_of(project, request.user),
        "version": version,
        "unread": unread,
        "known": unread and last_read_version(project, request.user),
    }
    if request.role.allows(Role.REVIEWER):
        context |= {"days": _days(project), "people": _people(project)}
    if request.role.allows(Role.MANAGER):
        context["steps"] = next_steps(project, context["progress"], version)
    return render(request, "annotate/overview.html", context)


def _days(project: Project) -> list[dict[str, Any]]:
    """Judgments of each of the last days, those without any included; `height` in percent of the best day."""
    today = timezone.localdate()
    since = today - timedelta(days=DAYS - 1)
    rows = Judgment.objects.counted().filter(comparison__project=project, created_at__date__gte=since)
    found: dict[date, int] = dict(
        rows.order_by().annotate(day=TruncDate("created_at")).values_list("day").annotate(n=Count("id"))
    )
    counts = [(since + timedelta(days=offset), found.get(since + timedelta(days=offset), 0)) for offset in range(DAYS)]
    most = max(count for _day, count in counts) or 1
    return [{"day": day, "count": count, "height": round(100 * count / most)} for day, count in counts]


def _people(project: Project) -> list[dict[str, Any]]:
    """An answer that was given anew after an undo has no time: its texts had been read by then."""
    rows = Judgment.objects.current().filter(comparison__project=project).order_by()
    by_person = rows.values("annotator__username", "annotator__first_name").annotate(
        n=Count("id", filter=Q(is_surplus=False)),
        surplus=Count("id", filter=Q(is_surplus=True)),
        mean_seconds=Avg("seconds", filter=Q(revision=1)),
        last=Max("created_at"),
    )
    return [
        {**person, "name": shown_name(person["annotator__username"], person["annotator__first_name"])}
        for person in by_person.order_by("-n", "annotator__username")[:MOST_PEOPLE]
    ]
