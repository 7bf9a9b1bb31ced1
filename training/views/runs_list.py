"""The list of runs: found, ordered and pinned; two of them, chosen here, are compared on a page of its own."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from training.forms import FindRunsForm
from training.models import Run
from training.workflow import finding, naming
from training.workflow.waiting import waits_of

PER_PAGE = 30
PART = "runs_list"
# Columns by which one click orders the list.
COLUMNS = {"name": "name", "started": "started", "duration": "longest", "result": "result"}


@require_safe
@require_role(Role.REVIEWER)
def list_runs(request: HttpRequest, project: Project) -> HttpResponse:
    """HTMX asks for the table alone, by its element's id."""
    form = FindRunsForm(project, request.GET)
    rows = finding.find(project.runs.select_related("snapshot", "model", "round", "artifact", "batch"), form.wanted)
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "waits": waits_of(page),
        "query": rest_of(request.GET, "page"),
        "sort": form.wanted.get("sort"),
        "orders": {column: f"?{rest_of(request.GET, 'page', 'sort')}sort={sort}" for column, sort in COLUMNS.items()},
    }
    part = f"#{PART}" if request.htmx and request.htmx.target == PART else ""
    return render(request, f"training/runs.html{part}", context)


@require_POST
@require_role(Role.MANAGER)
def pin_run(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    """`pinned` is 1 or 0; back to the list as it was, or to the run."""
    run = finding.set_pinned(in_project(Run, project, pk=run_id), request.POST.get("pinned") == "1")
    if "list" not in request.POST:
        return redirect("run", project.slug, run.pk)
    asked = QueryDict(request.POST["list"]).urlencode()
    return redirect(f"{reverse('runs', args=[project.slug])}{'?' if asked else ''}{asked}")


@require_POST
@require_role(Role.MANAGER)
def rename_run(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    run = naming.rename(in_project(Run, project, pk=run_id), request.POST.get("name", ""))
    return redirect("run", project.slug, run.pk)


def rest_of(asked: QueryDict, *names: str) -> str:
    """What was asked for beside these, as the beginning of a query; "" or ending with "&"."""
    rest = asked.copy()
    for name in names:
        rest.pop(name, None)
    for name in [name for name, values in rest.lists() if not any(values)]:
        rest.pop(name)
    return f"{rest.urlencode()}&" if rest else ""
