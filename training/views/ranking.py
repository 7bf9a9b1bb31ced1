"""The ranked responses of a scored sampling run: their page, their files, and the best ones as demonstrations."""

import json
from collections.abc import Iterator
from itertools import chain

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from annotate.views.csv_answer import streamed_csv
from annotate.workflow.exceptions import WorkflowError
from training.models import Run
from training.views.problems import tell
from training.workflow.ranked_samples import COLUMNS, as_json, as_rows, demonstrate_best, ranked, ranked_prompts

PROMPTS_ON_A_PAGE = 5


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def show_ranking(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    """A page of its own, so that nobody who looks after a run sees scores of what they are to judge."""
    run = in_project(Run.objects.select_related("reward_model", "model"), project, pk=run_id, recipe="sample")
    page = Paginator(ranked_prompts(run), PROMPTS_ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "training/ranking.html", {"run": run, "page": page, "rows": list(ranked(run, page))})


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def download_table(request: HttpRequest, project: Project, run_id: int) -> StreamingHttpResponse:
    """CSV: a line a response."""
    run = in_project(Run, project, pk=run_id, recipe="sample")
    rows = (row for one in ranked(run) for row in as_rows(one))
    return streamed_csv(f"run-{run_id}-ranked", chain([COLUMNS], rows))


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def download_lines(request: HttpRequest, project: Project, run_id: int) -> StreamingHttpResponse:
    """JSONL: a line a prompt."""
    run = in_project(Run, project, pk=run_id, recipe="sample")
    disposition = {"Content-Disposition": f'attachment; filename="run-{run_id}-ranked.jsonl"'}
    return StreamingHttpResponse(_lines(run), content_type="application/jsonl; charset=utf-8", headers=disposition)


def _lines(run: Run) -> Iterator[str]:
    for one in ranked(run):
        yield json.dumps(as_json(one), ensure_ascii=False) + "\n"


@require_POST
@require_role(Role.MANAGER)
def make_demonstrations(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    run = in_project(Run, project, pk=run_id, recipe="sample")
    try:
        made = demonstrate_best(run, name=request.POST.get("name", "").strip(), actor=request.user)
    except WorkflowError as error:
        tell(request, error)
        return redirect("run", project.slug, run.pk)
    said = _("The set “%(name)s” is stored.") if made.created else _("These are the demonstrations of “%(name)s”.")
    messages.success(request, said % {"name": made.set.name}, extra_tags="ok")
    if made.left_out:
        said = ngettext(
            "%(n)s prompt is not in it: no response to it ended by itself with a text.",
            "%(n)s prompts are not in it: no response to them ended by itself with a text.",
            made.left_out,
        )
        messages.warning(request, said % {"n": made.left_out}, extra_tags="warn")
    return redirect("demonstration_set", project.slug, made.set.pk)
