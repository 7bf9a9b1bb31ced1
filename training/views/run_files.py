"""What a run has written so far: new lines of the curves for its page, all of them as a file, and the log."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from annotate.views.csv_answer import streamed_csv
from training.models import Artifact, Run
from training.recipes.json_lines import parsed
from training.workflow.folders import log_of, progress_of
from training.workflow.left_out import left_out_of, named

# One answer carries at most this much of the file, or one longer line; the page asks again at once for the rest.
LARGEST_PIECE = 512 * 1024


def read_rows(path: Path, after: int, file: str = "") -> dict[str, Any]:
    """Whole lines of a JSONL file from byte `after` on: rows, offset, file, more, restarted.

    A resumed run replaces the file by a shorter one. `file` names the file that the reader's offset belongs to:
    when it is another one by now, reading starts over (`restarted`), and the reader drops what it has.
    """
    try:
        opened = path.open("rb")
    except FileNotFoundError:
        return {"rows": [], "offset": 0, "file": "", "more": False, "restarted": bool(file)}
    with opened:
        facts = os.fstat(opened.fileno())
        restarted = after > facts.st_size or file not in ("", str(facts.st_ino))
        opened.seek(0 if restarted else after)
        piece = opened.read(LARGEST_PIECE)
        if len(piece) == LARGEST_PIECE and b"\n" not in piece:  # samples of long texts are a line: never half of it
            piece += opened.readline()
        whole = piece[: piece.rfind(b"\n") + 1]
        offset = opened.tell() - len(piece) + len(whole)
        # A longer line that is still being written is nothing to ask for at once.
        more = len(piece) >= LARGEST_PIECE and bool(whole)
    return {"rows": parse(whole), "offset": offset, "file": str(facts.st_ino), "more": more, "restarted": restarted}


def parse(lines: bytes) -> list[dict[str, Any]]:
    """The objects in the lines; a line that is none (a disk that was full) is left out, the curve goes on. Where a
    number is none, it has a gap."""
    return [row for line in lines.split(b"\n") if (row := parsed(line, finite=True)) is not None]


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


def flat_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The lines with numbers, their metrics beside the rest."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            for row in parse(line):
                if row.get("kind") in ("step", "eval"):
                    metrics = row.pop("metrics", None)
                    yield row | (metrics if isinstance(metrics, dict) else {})


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
