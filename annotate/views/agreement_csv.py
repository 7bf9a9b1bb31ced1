"""The tables of the agreement page as CSV: the parts of a breakdown, and every two annotators."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from annotate.access import require_role
from annotate.models import Project, Role
from annotate.tasks import ask_for_agreement
from annotate.views.csv_answer import csv_answer, not_computed_yet
from annotate.workflow.agreement_groups import BREAKDOWNS
from annotate.workflow.agreement_summary import summary_for

Row = list[Any]


@require_safe
@require_role(Role.REVIEWER)
def download_parts(request: HttpRequest, project: Project) -> HttpResponse:
    """The parts of `?by=`; numbers as they are, an undefined one empty with its reason."""
    by = request.GET.get("by", "guideline")
    if by not in BREAKDOWNS:
        raise Http404
    body = _body(project, by)
    if body is None:
        return not_computed_yet()
    return csv_answer(f"agreement-{project.slug}-{by}", _parts(body["breakdowns"].get(by, []), by))


@require_safe
@require_role(Role.REVIEWER)
def download_pairs(request: HttpRequest, project: Project) -> HttpResponse:
    """The pairs of annotators that the page shows."""
    body = _body(project, "guideline")
    return csv_answer(f"agreement-{project.slug}-pairs", _pairs(body["pairs"])) if body else not_computed_yet()


def _body(project: Project, by: str) -> dict[str, Any] | None:
    summary = summary_for(project, by)
    if summary.is_stale:
        ask_for_agreement(project)
    return summary.body


def _parts(groups: list[dict[str, Any]], by: str) -> list[Row]:
    """Of people also against the final words; a summary kept from before there were any has no such column filled."""
    people = by == "annotator"
    names = ("raw", "corrected", "adjudicated") if people else ("raw", "corrected")
    head = [by, "judgments", *_columns("raw"), *_columns("kappa" if people else "alpha")]
    rows = ([group["group"], group["n_judgments"], *_numbers(group, *names)] for group in groups)
    return [[*head, *(_columns("adjudicated") if people else [])], *rows]


def _pairs(pairs: dict[str, Any]) -> list[Row]:
    head = ["annotator", "other_annotator", *_columns("raw"), *_columns("kappa")]
    return [head, *([pair["first"], pair["second"], *_numbers(pair, "raw", "kappa")] for pair in pairs["rows"])]


def _columns(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high", f"{name}_n", f"{name}_undefined_because"]


def _numbers(row: dict[str, Any], *names: str) -> Row:
    return [row.get(name, {}).get(part) for name in names for part in ("value", "low", "high", "n", "reason")]
