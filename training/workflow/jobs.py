"""A run's folder: writes job.json and the prompts, so that the job can run by hand and on a host without a database."""

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.models import Prompt, Split
from annotate.workflow import snapshots
from annotate.workflow.held_out import TEST_ANNOTATORS
from training.models import Run
from training.workflow.artifacts import model_spec
from training.workflow.card_facts import card_for
from training.workflow.folders import folder_of, progress_of
from training.workflow.probing import is_probed, material_of
from training.workflow.seen_before import seen_before

FORMAT = 1


def prepare(run: Run) -> Path:
    """The run's folder with its job in it; what an earlier attempt left there (checkpoint, samples) stays."""
    folder = folder_of(run)
    _set_aside_a_stranger(run, folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "error.json").unlink(missing_ok=True)
    if run.recipe == "playground":
        # An earlier attempt's word that it is ready would be taken for this one's.
        progress_of(run).unlink(missing_ok=True)
    if run.prompt_ids:
        _write(folder / "prompts.jsonl", _prompt_lines(run))
    if is_probed(run):
        _write(folder / "probes.json", json.dumps(material_of(run), ensure_ascii=False))
    if run.recipe == "export":
        _write(folder / "card.md", card_for(run.model, run.config["form"], run.config["dtype"]))
    _write(folder / "job.json", json.dumps(job_of(run, folder), ensure_ascii=False, indent=1) + "\n")
    return folder


def job_of(run: Run, folder: Path) -> dict[str, Any]:
    """The content of job.json."""
    return {
        "format": FORMAT,
        "run": run.pk,
        "recipe": run.recipe,
        "seed": run.seed,
        "config": run.config,
        "model": model_spec(run.model) if run.model else None,
        "reference_model": model_spec(run.reference_model) if run.reference_model else None,
        "reward_model": model_spec(run.reward_model) if run.reward_model else None,
        "data": _data_of(run),
        "prompts": str(folder / "prompts.jsonl") if run.prompt_ids else None,
        "probes": str(folder / "probes.json") if is_probed(run) else None,
        "latency": run.bench_id is not None,
        "cache": str(settings.MODELS_DIR),
        "lineage": lineage_of_run(run),
    }


def lineage_of_run(run: Run) -> dict[str, Any]:
    """Copied into the manifest: where the product comes from, in words that outlive the database."""
    return {
        "project": run.project.slug,
        "run": run.pk,
        "created": run.created_at.isoformat(),
        "name": run.name,
        "round": run.round.number if run.round else None,
        "parent": run.model.name if run.model else None,
        "snapshot": run.snapshot.number if run.snapshot else None,
        "demonstrations": run.demonstrations.name if run.demonstrations else None,
        "feedback": run.feedback.name if run.feedback else None,
        "reward_model": run.reward_model.name if run.reward_model else None,
        "seen_before": seen_before(run),
    }


def _data_of(run: Run) -> dict[str, Any] | None:
    if uploaded := run.demonstrations or run.feedback:
        folder = Path(uploaded.folder)
        return {
            "train": str(folder / f"{Split.TRAIN}.parquet"),
            "test": str(folder / f"{Split.TEST}.parquet"),
            "snapshot_hash": uploaded.content_hash,
            **({"unpaired": True} if run.feedback else {}),
        }
    if run.snapshot is None:
        return None
    files = {split: snapshots.parquet_path(run.snapshot, split) for split in (Split.TRAIN, Split.TEST)}
    # Beside each the ties of its prompts, where the snapshot keeps any.
    besides = {f"ties_{split}": path.with_name(f"ties_{path.name}") for split, path in files.items()}
    # And what annotators who are held out said of the test prompts.
    besides[TEST_ANNOTATORS] = files[Split.TEST].with_name(f"{TEST_ANNOTATORS}.parquet")
    return {
        **{str(split): str(path) for split, path in files.items()},
        "snapshot_hash": run.snapshot.content_hash,
        **{name: str(path) for name, path in besides.items() if path.exists()},
    }


def _prompt_lines(run: Run) -> str:
    found = Prompt.objects.filter(project=run.project).in_bulk(run.prompt_ids)
    rows = [{"id": key, "messages": found[key].messages} for key in run.prompt_ids if key in found]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _set_aside_a_stranger(run: Run, folder: Path) -> None:
    """A database made anew counts its runs from 1 again: an earlier run's folder of this number is not ours."""
    path = folder / "job.json"
    if not folder.exists() or (path.exists() and _creation(path) == run.created_at.isoformat()):
        return
    folder.rename(folder.with_name(f"{folder.name}.aside-{time.time_ns()}"))


def _creation(path: Path) -> str | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["lineage"]["created"]
    except (ValueError, KeyError, TypeError):
        return None


def _write(path: Path, text: str) -> None:
    """Whole or not there, after a power cut as well, and nobody writes into another's: a folder whose job.json is empty
    would be taken for a stranger's and set aside with its checkpoint."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
