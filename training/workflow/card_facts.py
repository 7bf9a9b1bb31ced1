"""Collects what a model card says of an artifact: from its manifest, its lineage and the database."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from django.db.models import Count
from django.utils import translation
from django.utils.translation import gettext as _

from annotate.models import Snapshot, SnapshotItem
from training.models import Artifact, Run, Task
from training.recipes import RECIPES, UNTRAINED
from training.recipes.adapters import MERGEABLE
from training.recipes.export import ADAPTER, MERGED
from training.recipes.fields import counts
from training.recipes.reward import separate_adapters
from training.recipes.titles import ADAPTERS, TITLES
from training.workflow.alignment_tax import tax_of
from training.workflow.artifacts import adapter_of, config_of, model_spec
from training.workflow.card_contents import Data, Facts
from training.workflow.classifiers import is_on_encoder
from training.workflow.evaluation import figures_of
from training.workflow.folders import progress_of
from training.workflow.lineage import annotators_of, parents_of
from training.workflow.model_card import card_of
from training.workflow.tails import Tail


def card_for(artifact: Artifact, form: str = "", dtype: str = "float32") -> str:
    """README.md of an export in this form; by default of the artifact as it is."""
    form = form or (ADAPTER if artifact.is_adapter else MERGED)
    with translation.override("en"):
        return card_of(facts_for(artifact, form, dtype))


def facts_for(artifact: Artifact, form: str, dtype: str) -> Facts:
    """What was measured and learned is that of the trained artifact, also when this one is its merged copy."""
    trained, parents, spec = trained_one(artifact), parents_of(artifact), model_spec(artifact)
    chain = [artifact, *parents]
    run, manifest, method = trained.run, trained.manifest, adapter_of(trained)
    data = manifest.get("data") or {}
    return Facts(
        name=artifact.name,
        task=artifact.task,
        form=form,
        dtype=dtype if form == MERGED else "",
        base=_base(chain[-1]),
        parents=[parent.name for parent in parents],
        before=max(0, len(spec["adapters"]) - 1) if form == ADAPTER else 0,
        recipe=str(manifest.get("recipe") or ""),
        title=_(TITLES.get(manifest.get("recipe", ""), "")) if manifest.get("recipe") in TITLES else "",
        adapter=method,
        adapter_title=_(ADAPTERS[method]) if method in ADAPTERS else method,
        merged=trained != artifact or (form == MERGED and artifact.is_adapter and method in MERGEABLE),
        encoder=chain[-1].task == Task.ENCODER or is_on_encoder(Path(chain[-1].location)),
        members=int(config_of(trained).get("members") or 1) if artifact.task == Task.REWARD else 1,
        separate_adapters=separate_adapters(config_of(trained)),
        data=_data(trained.snapshot) if trained.snapshot else None,
        demonstrations=str(run.demonstrations) if run and run.demonstrations else "",
        feedback=str(run.feedback) if run and run.feedback else "",
        reward_model=str(run.reward_model) if run and run.reward_model else "",
        train=int(data.get("train") or 0),
        test=int(data.get("test") or 0),
        left_out=len(data.get("dropped") or []),
        seen_before=(manifest.get("lineage") or {}).get("seen_before"),
        steps=_steps(run) if run else 0,
        settings=_settings(run) if run else [],
        figures=figures_of(trained),
        tax=tax_of(trained),
        seed=int(manifest.get("seed") or 0),
        weights_sha256=str(manifest.get("weights_sha256") or ""),
        packages={str(name): str(version) for name, version in (manifest.get("packages") or {}).items()},
        device=str(manifest.get("device") or ""),
        precision=str(manifest.get("precision") or ""),
        commands=[_command(one.run) for one in reversed(chain) if one.run and one.run.recipe in RECIPES],
    )


def trained_one(artifact: Artifact) -> Artifact:
    """The artifact that a training run made: of a merged one, what was merged."""
    while artifact.manifest.get("recipe") == "merge" and artifact.parent is not None:
        artifact = artifact.parent
    return artifact


def _base(base: Artifact) -> str:
    """A hub id tells others where to find it; a folder of this machine tells them nothing, its name in the project
    does."""
    return base.name if base.location.startswith(("/", "~", ".")) else base.location


def _data(snapshot: Snapshot) -> Data:
    judged = annotators_of(snapshot)
    rows = SnapshotItem.objects.pairs().filter(snapshot=snapshot).order_by().values_list("comparison__prompt__language")
    languages = {name or "not recorded": n for name, n in rows.annotate(n=Count("id")).order_by("-n")}
    return Data(
        number=snapshot.number,
        content_hash=snapshot.content_hash,
        judgments=sum(count for _name, count in judged),
        annotators=len(judged),
        guideline_versions=list(snapshot.guideline_versions),
        aggregation=str(snapshot.rule),
        languages=languages,
    )


def _steps(run: Run) -> int:
    """Of the optimizer, as the process has told them; 0 where its lines are not there any more. A line of PPO's tells
    of a step of several updates."""
    lines = [line for line in Tail(progress_of(run)).lines() if line.get("kind") == "step"]
    told = {line["step"]: line.get("metrics") or {} for line in lines if line.get("stage") == "training"}
    if any("updates" in metrics for metrics in told.values()):
        return sum(int(metrics.get("updates", 0)) for metrics in told.values())
    return max(told, default=0)


def _changed(run: Run) -> dict[str, Any]:
    """Settings that count and differ from the recipe's defaults."""
    known = fields(RECIPES[run.recipe]) if run.recipe in RECIPES else ()
    return {
        setting.name: run.config[setting.name]
        for setting in known
        if setting.name in run.config and counts(setting, run.config) and run.config[setting.name] != setting.default
    }


def _settings(run: Run) -> list[tuple[str, str]]:
    labels = {setting.name: setting.metadata.get("label", setting.name) for setting in fields(RECIPES[run.recipe])}
    return [(f"{labels[name]} ({name})", json.dumps(value)) for name, value in _changed(run).items()]


def _command(run: Run) -> list[str]:
    """What makes it again in this project: `manage.py train`, or `merge_model`."""
    start = ["python", "manage.py"]
    if run.recipe in UNTRAINED:
        return [*start, "merge_model", run.project.slug, "--model", str(run.model)]
    words = [*start, "train", run.project.slug, "--recipe", run.recipe, "--model", str(run.model)]
    if run.snapshot:
        words += ["--snapshot", str(run.snapshot.number)]
    if run.demonstrations:
        words += ["--demonstrations", str(run.demonstrations)]
    if run.feedback:
        words += ["--feedback", str(run.feedback)]
    if run.reward_model:
        words += ["--reward-model", str(run.reward_model)]
    words += ["--seed", str(run.seed)]
    for name, value in _changed(run).items():
        words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return words
