"""What a run has written so far: new lines of the curves for its page, all of them as a file, and the log."""

from itertools import chain

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from annotate.views.csv_answer import streamed_csv
from training.models import Artifact, Run
from training.workflow.folders import log_of, progress_of
from training.workflow.left_out import left_out_of, named
from training.workflow.run_lines import flat_rows, read_rows


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def run_progress(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    """JSON: state, progress, and the lines of progress.jsonl after the byte `?after=` of the file `?file=`."""
    run = in_project(Run, project, pk=run_id)
    after = request.GET.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) < 16):
        return JsonResponse({"detail": _("“after” must be a byte offset: a whole number from 0.")}, status=400)
    piece = read_rows(progress_of(run), int(after), request.GET.get("file", ""))
    return JsonResponse({"state": run.state, "over": run.is_over, "progress": run.progress, **piece})


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def run_curves(request: HttpRequest, project: Project, run_id: int, kind: str) -> HttpResponse:
    """Every step and evaluation so far, as CSV with a column for each figure, or as JSON."""
    path = progress_of(in_project(Run, project, pk=run_id))
    if kind == "json":
        disposition = {"Content-Disposition": f'attachment; filename="run-{run_id}.json"'}
        return JsonResponse({"run": run_id, "rows": list(flat_rows(path))}, headers=disposition)
    if kind != "csv":
        raise Http404
    columns = list(dict.fromkeys(name for row in flat_rows(path) for name in row))
    rows = ([row.get(name, "") for name in columns] for row in flat_rows(path))
    return streamed_csv(f"run-{run_id}", chain([columns], rows))


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def run_left_out(request: HttpRequest, project: Project, run_id: int) -> StreamingHttpResponse:
    """Every example that the run has not used, and why, as CSV."""
    run = in_project(Run, project, pk=run_id)
    artifact = Artifact.ever.filter(run=run).first()
    found = left_out_of(run, artifact.manifest if artifact else {})
    # A list: by the time a generator ran, the reader's language would be forgotten.
    rows = [[row.get("split", ""), name, why] for row, (name, why) in zip(found, named(found), strict=True)]
    return streamed_csv(f"run-{run_id}-left-out", [["split", "id", "why"], *rows])


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def run_log(request: HttpRequest, project: Project, run_id: int) -> FileResponse:
    """The whole log of the training process, as text."""
    try:
        log = log_of(in_project(Run, project, pk=run_id)).open("rb")
    except FileNotFoundError as error:
        raise Http404 from error
    return FileResponse(log, content_type="text/plain; charset=utf-8", filename=f"run-{run_id}.log")
