"""How far the annotators agree: in all, filtered, in parts, for every two of them, and where they do not."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from annotate.access import require_role
from annotate.models import Project, Role
from annotate.statistics.estimate import Outcome
from annotate.tasks import ask_for_agreement
from annotate.views.agreement_tables import Sort, matrix_of, sorted_pairs
from annotate.views.outcomes import with_outcomes
from annotate.workflow.agreement_groups import BREAKDOWNS
from annotate.workflow.agreement_parts import FASTEST, LEAST_AGREEMENT, LEAST_COMPARED
from annotate.workflow.agreement_summary import refresh_summary, summary_for

# Those with most judgments; the CSV has all.
MOST_PEOPLE = 100


@require_safe
@require_role(Role.REVIEWER)
def show_agreement(request: HttpRequest, project: Project) -> HttpResponse:
    """The page; or its figures alone when the overview asks for them."""
    by = request.GET.get("by", "")
    by = by if by in BREAKDOWNS else "guideline"
    summary = summary_for(project, by)
    if summary.is_stale:
        ask_for_agreement(project)
    context: dict[str, Any] = {"project": project, "summary": summary, "by": by, "breakdowns": _breakdowns()}
    if summary.body:
        context |= _figures(summary.body, by, Sort(request.GET.get("sort", "")))
    return render(request, "annotate/agreement.html#figures" if request.htmx else "annotate/agreement.html", context)


@require_POST
@require_role(Role.REVIEWER)
def refresh_agreement(request: HttpRequest, project: Project) -> HttpResponse:
    """Compute now what a worker would compute in a while."""
    refresh_summary(project)
    messages.success(request, _("The numbers are those of now."))
    return redirect("agreement", project.slug)


def _figures(body: dict[str, Any], by: str, sort: Sort) -> dict[str, Any]:
    """The summary in the shape of the page: outcomes again instead of JSON."""
    found = with_outcomes(body)
    overall, filtered = found["overall"], found["filtered"]
    pairs, choices = found["pairs"], ["A", _("Tie"), "B"]
    # Neither of the two is in summaries that were kept before there were such.
    adjudicated, left_out = found.get("adjudicated", {}), found.get("left_out", {})
    groups, people = found["breakdowns"].get(by, []), adjudicated.get("people", [])
    most = MOST_PEOPLE if by == "annotator" else len(groups)
    return {
        "overall": overall,
        "raws": [(*_raw_words()[rule], outcome) for rule, outcome in overall["raw_agreement"].items()],
        "corrected": _corrected(overall),
        "filtered": filtered,
        "beside": [
            (_("Raw agreement"), overall["raw_agreement"]["ties_as_class"], filtered["raw"]),
            (_("Krippendorff’s alpha"), overall["krippendorff_alpha"]["nominal"], filtered["alpha"]),
            (_("Gwet’s AC1"), overall["gwet_ac1"], filtered["ac1"]),
        ],
        "limits": {"seconds": FASTEST, "share": LEAST_AGREEMENT, "compared": LEAST_COMPARED},
        "groups": groups[:most],
        "more_people": len(groups[most:]),
        "left_out": left_out.get(by, 0),
        "differences": found["differences"] if by == "guideline" else [],
        "matrix": matrix_of(pairs["people"], pairs["rows"]) if pairs["is_matrix"] else [],
        "pairs": sorted_pairs(pairs["rows"], sort),
        "pair_count": pairs["n"],
        "sort": sort,
        "confusion": list(zip(choices, _rows(found["confusion"]), strict=True)),
        "choices": choices,
        "split": found["split"],
        "adjudicated": {**adjudicated, "people": people[:MOST_PEOPLE]},
        "more_adjudicated": len(people[MOST_PEOPLE:]),
    }


def _rows(table: list[list[int]]) -> list[list[tuple[int, int]]]:
    """Each cell with the total of its row."""
    return [[(cell, sum(row)) for cell in row] for row in table]


def _breakdowns() -> dict[str, str]:
    return {
        "guideline": _("Guideline version"),
        "criterion": _("Criterion"),
        "round": _("Round"),
        "tag": _("Tag"),
        "language": _("Language"),
        "week": _("Week"),
        "annotator": _("Annotator"),
    }


def _raw_words() -> dict[str, tuple[str, str]]:
    return {
        "ties_as_class": (_("Raw agreement"), _("The same answer, a tie being one of three answers.")),
        "ties_half": (_("Raw agreement, ties half"), _("A tie agrees half with either side.")),
        "ties_excluded": (_("Raw agreement without ties"), _("Only answers that name a side.")),
    }


def _corrected(overall: dict[str, Any]) -> list[tuple[str, str, Outcome]]:
    beyond = _("Beyond chance: 1 is perfect, 0 is chance.")
    alpha = overall["krippendorff_alpha"]
    degrees = _("Ordinal too, from A much better over a tie to B much better; without votes that say no degree.")
    graded = (
        [(_("Alpha of the degrees"), degrees, overall["alpha_of_degrees"])] if "alpha_of_degrees" in overall else []
    )
    return [
        (_("Krippendorff’s alpha"), beyond, alpha["nominal"]),
        (_("Alpha, ordinal"), _("A against B is a larger disagreement than either against a tie."), alpha["ordinal"]),
        (_("Fleiss’ kappa"), _("As alpha, each comparison weighing the same."), overall["fleiss_kappa"]),
        (_("Gwet’s AC1"), _("Holds where one answer is much more frequent than the others."), overall["gwet_ac1"]),
        *graded,
    ]
