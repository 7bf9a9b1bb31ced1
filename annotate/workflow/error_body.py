"""A known error as the API and the commands' `--json` tell it: the same names for the same things."""

from typing import Any

from annotate.workflow.exceptions import UploadRejected, WorkflowError


def body_of(error: WorkflowError) -> dict[str, Any]:
    """`code`, `detail`, `hint`, and `field` where one input is at fault; of an uploaded file `errors` and `total`."""
    body: dict[str, Any] = {"code": type(error).__name__, "detail": error.message, "hint": error.hint}
    if error.where:
        body["field"] = error.where
    if isinstance(error, UploadRejected):
        body["errors"] = [{"line": e.line, "field": e.field, "message": e.message} for e in error.errors]
        body["total"] = error.total
    return body
