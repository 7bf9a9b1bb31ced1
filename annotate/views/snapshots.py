"""Snapshots: freeze one, look inside, download."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from annotate.access import in_project, require_role
from annotate.forms import FreezeForm
from annotate.models import Aggregation, Project, Role, Snapshot, Split
from annotate.workflow.exceptions import EmptySnapshot, NobodyHeldOut, NothingToInferFrom
from annotate.workflow.export import export_lines, require_readable
from annotate.workflow.final_words import words_come_first
from annotate.workflow.snapshots import freeze, parquet_path, select

ROWS_SHOWN = 10
Found = TypeVar("Found")


@require_safe
@require_role(Role.REVIEWER)
def list_snapshots(request: HttpRequest, project: Project) -> HttpResponse:
    rows = project.snapshots.select_related("created_by")
    return render(request, "annotate/snapshots.html", {"project": project, "snapshots": rows})


@require_http_methods(["GET", "POST"])
@require_role(Role.MANAGER)
def create_snapshot(request: HttpRequest, project: Project) -> HttpResponse:
    """GET shows what the query in the address would hold and drop; POST freezes it."""
    defaults = {name: field.initial for name, field in FreezeForm.base_fields.items()}
    defaults["adjudicated_first"] = "1" if words_come_first(project) else ""
    form = FreezeForm(request.POST if request.method == "POST" else {**defaults, **request.GET.dict()})
    valid = form.is_valid()
    asked = partial(freeze, actor=request.user) if request.method == "POST" else select
    found = _unless_refused(asked, project, form) if valid else None
    if isinstance(found, tuple):
        snapshot, created = found
        said = _("Snapshot %(n)s is frozen.") if created else _("Nothing has changed since snapshot %(n)s: this is it.")
        messages.success(request, said % {"n": snapshot.number})
        return redirect("snapshot", project.slug, snapshot.number)
    context = {"project": project, "form": form, "counts": found and found.counts, "aggregations": list(Aggregation)}
    return render(request, "annotate/snapshot_create.html", context, status=400 if form.errors else 200)


def _unless_refused(verb: Callable[..., Found], project: Project, form: FreezeForm) -> Found | None:
    """What a freeze holds or would hold, or an error at the field that asks for too much."""
    try:
        return verb(project=project, **form.cleaned_data)
    except (EmptySnapshot, NobodyHeldOut, NothingToInferFrom) as problem:
        form.add_error(problem.where or None, f"{problem.message} {problem.hint}")
        return None


@require_safe
@require_role(Role.REVIEWER)
def show_snapshot(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    snapshot = in_project(Snapshot.objects.select_related("created_by"), project, number=number)
    items = snapshot.items.pairs().select_related("comparison__prompt", "chosen", "rejected")[:ROWS_SHOWN]
    context = {"project": project, "snapshot": snapshot, "items": items, "splits": list(Split)}
    return render(request, "annotate/snapshot.html", context)


@require_safe
@require_role(Role.REVIEWER)
def download_snapshot(request: HttpRequest, project: Project, number: int, split: str, fmt: str) -> HttpResponseBase:
    """`train`, `test` or (JSONL only) `all`; JSONL is streamed in TRL's conversational preference format."""
    snapshot = in_project(Snapshot, project, number=number)
    name = f"{project.slug}-snapshot-{number}-{split}.{fmt}"
    if fmt == "jsonl" and split in (*Split.values, "all"):
        lines = export_lines(snapshot=snapshot, split=None if split == "all" else split)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(lines, content_type="application/x-ndjson; charset=utf-8", headers=headers)
    if fmt == "parquet" and split in Split.values:
        require_readable(snapshot, split)
        return FileResponse(parquet_path(snapshot, split).open("rb"), as_attachment=True, filename=name)
    raise Http404
