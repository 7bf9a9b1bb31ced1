"""Starts a single training run, and refuses one that could not end well: too few labels, too little disk."""

import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from annotate.models import Project, Snapshot, User
from training.models import Artifact, Run, Task
from training.workflow import runs
from training.workflow.artifacts import model_spec
from training.workflow.exceptions import ModelRefused, TooFewLabels, TooLittleDisk, WorkflowError

TRAINED = ("reward", "dpo")
# Adapter, checkpoint, samples and log of a run.
SMALL_RUN = 200 * 2**20
# A 4-bit GGUF file becomes 32-bit safetensors.
GGUF_GROWTH = 8
# Weights and two moments of the optimizer in the checkpoint, the checkpoint before it while it is written, the result.
FULL_GROWTH = 7


def start_training(
    project: Project,
    recipe: str,
    snapshot: Snapshot,
    model: Artifact,
    config: dict[str, Any],
    *,
    seed: int = 0,
    name: str = "",
    actor: User | None = None,
) -> Run:
    """Queues a run, or raises TooFewLabels, TooLittleDisk, ModelRefused or BadConfig and makes nothing."""
    if recipe not in TRAINED:
        raise WorkflowError(
            _("“%(recipe)s” trains nothing.") % {"recipe": recipe},
            _("Use one of: %(names)s.") % {"names": ", ".join(TRAINED)},
        )
    config = runs.checked_config(recipe, config)
    check_training(project, snapshot, model, [config])
    title = name or f"{_titles()[recipe]}, {_('snapshot')} {snapshot.number}"
    return runs.create_run(project, recipe, config, title[:120], seed=seed, snapshot=snapshot, model=model, actor=actor)


def check_training(project: Project, snapshot: Snapshot, model: Artifact, configs: list[dict[str, Any]]) -> None:
    """All that can be known before anything is made."""
    if snapshot.project_id != project.pk or model.project_id != project.pk:
        raise WorkflowError(_("Snapshot and model must be the project's own."), _("Choose others."))
    if model.task != Task.POLICY:
        raise ModelRefused(
            _("“%(name)s” is a reward model: it scores texts and writes none.") % {"name": model}, _("Choose a policy.")
        )
    enough_labels(snapshot)
    enough_disk(model, configs)


def enough_labels(snapshot: Snapshot) -> None:
    """Two pairs won by each side, one to train on and one to evaluate on. Raises TooFewLabels with the numbers."""
    counts = {name: snapshot.counts.get(name, 0) for name in ("won_by_a", "won_by_b", "train", "test")}
    if min(counts["won_by_a"], counts["won_by_b"]) >= 2 and counts["train"] >= 1 and counts["test"] >= 1:
        return
    raise TooFewLabels(
        _(
            "Snapshot %(number)s has too few labels: %(won_by_a)s pair(s) won by A and %(won_by_b)s by B, "
            "%(train)s for training and %(test)s for evaluation."
        )
        % {"number": snapshot.number, **counts},
        _("At least two won by A, two by B, and one pair in each split are needed. Judge more, then freeze again."),
    )


def enough_disk(model: Artifact, configs: list[dict[str, Any]]) -> None:
    """Raises TooLittleDisk with what is free and what is wanted."""
    wanted = disk_wanted(model, configs)
    folder = _existing(Path(settings.RUNS_DIR))
    free = shutil.disk_usage(folder).free
    if free < wanted:
        sizes = {"folder": folder, "free": _gigabytes(free), "wanted": _gigabytes(wanted)}
        raise TooLittleDisk(
            _("%(folder)s has %(free)s GB left; this needs about %(wanted)s GB.") % sizes,
            _("Delete runs that are not needed any more, or move PLUMBLINE_RUNS_DIR to a larger disk."),
        )


def disk_wanted(model: Artifact, configs: list[dict[str, Any]]) -> int:
    """Bytes, from the size of the base model on this disk; a hub id is taken for small: the network is not asked."""
    base = Path(model_spec(model)["base"])
    if base.is_file():
        full, converted = base.stat().st_size * GGUF_GROWTH, base.stat().st_size * GGUF_GROWTH
    else:
        full, converted = sum(path.stat().st_size for path in base.glob("*.safetensors")), 0
    return converted + sum(full * FULL_GROWTH if config.get("adapter") == "full" else SMALL_RUN for config in configs)


def _titles() -> dict[str, str]:
    return {"reward": _("Reward model"), "dpo": _("Policy (DPO)")}


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f}"
