"""Recipe "export": a plain Hugging Face directory with its model card, whole or not there, and pushed where asked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from training.ml import cancel, hub
from training.ml.adapters import save_weights
from training.ml.artifact import package_versions, read_manifest, verify_artifact, weights_sha256
from training.ml.durable import flush, fresh, whole
from training.ml.errors import ModelError, is_disk_full
from training.ml.job import Job
from training.ml.origin import SETTINGS
from training.ml.plain import pad_apart_from_eos, plain_model
from training.ml.progress import Progress
from training.recipes.export import MERGED, export_folder
from training.recipes.hub_ids import is_hub_id
from training.recipes.words import gettext_noop

# What says that a directory is an export of ours, and of which run.
NOTE, CARD = "export.json", "README.md"


def run(job: Job) -> None:
    """Ask the hub, if it is to go there; write the directory; push it. Raises ModelError for every known failure."""
    config, progress = job.config, Progress(job.directory)
    target = export_folder(job.cache, str(job.lineage["project"]), config.folder)
    repository = hub.repository_for(job) if config.repository else None
    # A run that was stopped while it pushed finds its own directory again.
    if not is_of(job, target):
        fill = write_merged if config.form == MERGED else write_adapter
        write_whole(target, lambda directory: _fill(job, directory, fill, progress))
    result = {"folder": str(target), "bytes": size_of(target), **read_note(target)}
    if repository is not None:
        progress.status("pushing")
        result |= {"repository": config.repository, "commit": repository.push(target), "private": config.private}
    whole(job.directory / "result.json", json.dumps(result) + "\n")


def write_whole(target: Path, fill: Callable[[Path], None]) -> None:
    """`fill` gets NAME.tmp, which is renamed to `target` once it is on the disk; whatever goes wrong, it is removed.

    Raises ModelError: "export_exists", "export_not_written"; on a full disk the system's own error."""
    _require_free(target)
    try:
        temporary = fresh(target)
        try:
            fill(temporary)
            flush(temporary)
            cancel.check()
            _require_free(target)
            os.rename(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise ModelError(
            "export_not_written",
            gettext_noop("The directory %(target)s could not be written: %(error)s"),
            gettext_noop("See that the worker may write there, then resume the run."),
            target=target,
            error=error,
        ) from error


def write_merged(job: Job, directory: Path, progress: Progress) -> None:
    """Base and adapters as one model, merged in fp32 and then put into the precision that was asked for."""
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}
    model, tokenizer, _task = plain_model(job.model, source)
    cancel.check()
    progress.status("saving")
    save_weights(model.to(getattr(torch, job.config.dtype)), tokenizer, directory)


def write_adapter(job: Job, directory: Path, progress: Progress) -> None:
    """The last adapter's own files; those that have to be merged into the base before it lie beside it, in order."""
    progress.status("saving")
    *earlier, last = [Path(adapter) for adapter in job.model.adapters]
    for number, adapter in enumerate(earlier, start=1):
        _copy(adapter, directory / f"before-{number}", hide_path=bool(job.config.repository))
    _copy(last, directory, hide_path=bool(job.config.repository))
    if read_manifest(last).get("task") == "reward":
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
        pad_apart_from_eos(tokenizer)
        tokenizer.save_pretrained(directory)


def is_of(job: Job, target: Path) -> bool:
    """Whether `target` was written by this very run."""
    try:
        note = read_note(target)
    except (OSError, ValueError):
        return False
    return (note.get("run"), note.get("created")) == (job.run, job.lineage.get("created"))


def read_note(target: Path) -> dict[str, Any]:
    return json.loads((target / NOTE).read_text(encoding="utf-8"))


def size_of(directory: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _fill(job: Job, directory: Path, fill: Callable[[Job, Path, Progress], None], progress: Progress) -> None:
    progress.status("loading")
    fill(job, directory, progress)
    shutil.copyfile(job.directory / "card.md", directory / CARD)
    note = {
        "format": 1,
        "run": job.run,
        "created": job.lineage.get("created"),
        "form": job.config.form,
        "dtype": job.config.dtype if job.config.form == MERGED else "",
        "weights_sha256": weights_sha256(directory),
        "packages": package_versions(),
    }
    (directory / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def _copy(adapter: Path, directory: Path, hide_path: bool) -> None:
    verify_artifact(adapter)
    # The manifest names folders of this machine and quotes prompts; the card says what others need of it.
    shutil.copytree(adapter, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json", CARD))
    settings = directory / SETTINGS
    if hide_path and settings.is_file():
        _hide_path(settings)


def _hide_path(path: Path) -> None:
    """PEFT notes where the base lay; of a folder of this machine others get the name alone."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    base = str(settings.get("base_model_name_or_path") or "")
    if not is_hub_id(base, owned=False):
        settings["base_model_name_or_path"] = Path(base).name
        path.write_text(json.dumps(settings, indent=2, sort_keys=True), encoding="utf-8")


def _require_free(target: Path) -> None:
    if target.exists():
        raise ModelError(
            "export_exists",
            gettext_noop("%(target)s exists already, and an export never writes over anything."),
            gettext_noop("Export under another name, or delete that directory first."),
            target=target,
        )
