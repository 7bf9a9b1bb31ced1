"""The page that puts several runs side by side: in what they differ, and their curves in one picture."""

from dataclasses import replace
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from annotate.access import require_role
from annotate.models import Project, Role
from annotate.views.asked_number import is_number
from training.forms.recipe import choice_label
from training.models import Run
from training.recipes import RECIPES, UNTRAINED
from training.recipes.titles import TITLES
from training.views.curves import line_of, shared_curves
from training.workflow.differences import Row, differences_of

MOST = 8
RELATED = (
    "project",
    "snapshot",
    "model",
    "reward_model",
    "reference_model",
    "demonstrations",
    "feedback",
    "artifact",
    "round",
)


@require_safe
@require_role(Role.REVIEWER)
def compare_runs(request: HttpRequest, project: Project) -> HttpResponse:
    """`?run=` several times; numbers that are none of the project's runs are left out and said."""
    asked = list(dict.fromkeys(number for number in request.GET.getlist("run") if is_number(number)))
    found = (
        Run.objects.filter(project=project).select_related(*RELATED).in_bulk([int(number) for number in asked[:MOST]])
    )
    chosen = [found[int(number)] for number in asked[:MOST] if int(number) in found]
    context: dict[str, Any] = {
        "chosen": chosen,
        "unknown": [number for number in asked[:MOST] if int(number) not in found],
        "too_many": len(asked) > MOST,
        "most": MOST,
        "others": others_of(project, chosen),
    }
    if len(chosen) > 1:
        differences = differences_of(chosen)
        context |= {
            "differences": differences,
            "reasons": any(differences.why_none),
            "differing": [in_words(row) for row in differences.differing_settings if not row.is_of_some],
            "of_some": [in_words(row) for row in differences.differing_settings if row.is_of_some],
            "equal": [in_words(row) for row in differences.equal_settings],
            "data": [in_words(row) for row in differences.data],
            "curves": shared_curves(chosen),
            "lines": [line_of(run) for run in chosen],
        }
    return render(request, "training/runs_compare.html", context)


def others_of(project: Project, chosen: list[Run]) -> QuerySet[Run]:
    """What one may put beside them: what has learned something, and runs of their own kinds."""
    learned = Q(recipe__in=[name for name in RECIPES if name not in UNTRAINED])
    of_their_kinds = Q(recipe__in={run.recipe for run in chosen})
    rows = project.runs.filter(learned | of_their_kinds).exclude(pk__in=[run.pk for run in chosen])
    return rows.order_by("-pinned", "-id")[:100]


def in_words(row: Row) -> Row:
    """Recipes and choices by the names that people call them by."""
    if row.name == "recipe":
        return replace(row, values=[gettext(TITLES.get(value, value)) for value in row.values])
    return replace(row, values=[choice_label(row.name, v) if isinstance(v, str | bool) else v for v in row.values])
