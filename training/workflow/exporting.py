"""Merging and exporting: starts the runs that do it, takes in what they have written, and deletes an export again."""

import json
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from annotate.models import Project, User
from training.models import Artifact, Run, RunState
from training.recipes.adapters import SELECTIVE
from training.recipes.export import MERGED, export_folder
from training.recipes.storable import storable
from training.recipes.titles import STAYING
from training.workflow import runs
from training.workflow.artifacts import adapter_of, blocking_adapter
from training.workflow.disk import enough_disk
from training.workflow.disk_use import forget
from training.workflow.exceptions import BadInput, ExportExists, ModelInUse, ModelRefused, WorkflowError
from training.workflow.folders import folder_of
from training.workflow.refusals import checked_config
from training.workflow.told import told

# What says that a directory is an export of ours, and of which run (training/ml/export.py).
NOTE = "export.json"


def start_merge(artifact: Artifact, actor: User | None = None) -> Run:
    """Queues the run that makes a full model out of an adapter. Raises BadInput, ModelRefused or TooLittleDisk."""
    if not artifact.is_adapter:
        raise BadInput(_("“%(name)s” is a whole model already.") % {"name": artifact}, _("Export it as it is."))
    require_mergeable(artifact)
    enough_disk(artifact, [("merge", {})])
    # The name becomes the model's, and is data: it is not translated.
    return runs.create_run(artifact.project, "merge", {}, f"{artifact.name[:110]}, merged", model=artifact, actor=actor)


def start_export(artifact: Artifact, config: dict[str, Any], actor: User | None = None) -> Run:
    """Queues an export. Raises BadConfig, BadInput, ModelRefused, ExportExists or TooLittleDisk; then nothing is made.

    `config`: what differs from the recipe's defaults."""
    config = checked_config("export", config)
    if config["form"] == MERGED:
        require_mergeable(artifact)
    else:
        _require_adapter(artifact)
    _require_free(artifact.project, config["folder"])
    enough_disk(artifact, [("export", config)], Path(settings.MODELS_DIR))
    name = f"{_('Export')} {config['folder']}"[:120]
    return runs.create_run(artifact.project, "export", config, name, model=artifact, actor=actor)


def require_mergeable(artifact: Artifact) -> None:
    """Raises ModelRefused with the reason, and with what is offered instead."""
    if method := blocking_adapter(artifact):
        raise ModelRefused(
            _("“%(name)s” cannot be merged: its adapter (%(adapter)s) cannot become part of the weights.")
            % {"name": artifact, "adapter": _(STAYING.get(method, method))},
            _("Export the adapter alone: it is used beside its base model."),
            where="form",
        )


def take_in(run: Run) -> None:
    """What the process says of the directory it has written."""
    written = storable(json.loads((folder_of(run) / "result.json").read_text(encoding="utf-8")))
    run.result = {name: written.get(name) for name in ("folder", "bytes", "weights_sha256", "repository", "commit")}
    if not str(run.result["commit"] or "").startswith(("https://", "http://")):
        run.result["commit"] = None  # it becomes a link
    run.save(update_fields=["result"])


def exports_of(artifact: Artifact) -> list[Run]:
    """The exports of it that have been written and not deleted, the newest first."""
    done = artifact.used_by_runs.filter(recipe="export", state=RunState.SUCCEEDED)
    return [run for run in done.order_by("-id") if not run.result.get("deleted")]


def delete_export(run: Run, actor: User | None = None) -> None:
    """Removes the directory that this run has written; what was pushed stays. Raises BadInput or ModelInUse."""
    folder = folder_of_export(run)
    if not is_ours(run, folder):
        raise BadInput(
            _("%(folder)s is not there, or is not the directory that this run has written.") % {"folder": folder},
            _("Nothing was deleted. Look at it yourself."),
        )
    if user := Artifact.objects.filter(location=str(folder.resolve())).first():
        raise ModelInUse(
            _("“%(name)s” is registered from this directory.") % {"name": user}, _("Delete that model first.")
        )
    try:
        _remove_but_for_its_note(folder)
        with transaction.atomic():
            run.result = {**run.result, "deleted": True}
            run.save(update_fields=["result"])
            runs.note(run, told(gettext_noop("Its directory %(folder)s was deleted."), folder=str(folder)), actor)
            shutil.rmtree(folder)
    except OSError as error:
        said = _("%(folder)s could not be deleted: %(error)s") % {"folder": folder, "error": error}
        raise WorkflowError(said, _("See that the web server may write there.")) from error
    forget(run.project)


def _remove_but_for_its_note(folder: Path) -> None:
    """Until the end it is known whose the directory is: a deletion that breaks off half-way can be asked for again."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != NOTE:
            path.unlink()


def folder_of_export(run: Run) -> Path:
    return export_folder(Path(settings.MODELS_DIR), run.project.slug, run.config["folder"])


def is_ours(run: Run, folder: Path) -> bool:
    """Whether the directory says that this very run has written it."""
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        return (note["run"], note["created"]) == (run.pk, run.created_at.isoformat())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _require_adapter(artifact: Artifact) -> None:
    if not artifact.is_adapter:
        raise BadInput(_("“%(name)s” has no adapter.") % {"name": artifact}, _("Export the whole model."), where="form")
    if adapter_of(artifact) in SELECTIVE:
        raise BadInput(
            _("“%(name)s” was trained in some of its own weights, which PEFT does not know as an adapter.")
            % {"name": artifact},
            _("Export the whole model."),
            where="form",
        )


def _require_free(project: Project, folder: str) -> None:
    """Of two that begin at once the second finds the first's directory when it wants to rename its own."""
    target = export_folder(Path(settings.MODELS_DIR), project.slug, folder)
    others = Run.objects.unfinished().filter(project=project, recipe="export", config__folder=folder)
    if target.exists() or others.exists():
        raise ExportExists(
            _("%(target)s exists already or is being written, and an export never writes over anything.")
            % {"target": target},
            _("Choose another name, or delete that export first."),
            where="folder",
        )
