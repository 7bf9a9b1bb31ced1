"""A project with a frozen snapshot and a base model, and runs brought to an end without a training process."""

import json
from typing import Any

import pytest
from django.test import Client

from annotate.models import Project, Snapshot, User
from annotate.workflow.snapshots import freeze
from tests.factories import judge_all, make_comparisons, make_prompts
from training.models import Artifact, Round, Run, RunState
from training.workflow import rounds, runs
from training.workflow.folders import artifact_folder, folder_of


@pytest.fixture
def snapshot(project: Project, ann: User) -> Snapshot:
    """Thirty comparisons judged by one person, won by both sides."""
    project.overlap = 1
    project.save()
    make_comparisons(project, 30)
    judge_all(project, ann, ["b" if number % 3 else "a" for number in range(30)])
    make_prompts(project, 10, start=100)
    return freeze(project=project)[0]


@pytest.fixture
def base(project: Project) -> Artifact:
    return Artifact.objects.create(project=project, name="base", location="owner/base")


@pytest.fixture
def round(project: Project, snapshot: Snapshot, base: Artifact, lead: User) -> Round:
    return rounds.start_round(project, snapshot, base, prompts=4, actor=lead)


@pytest.fixture
def as_lead(client: Client, lead: User) -> Client:
    client.force_login(lead)
    return client


def figure(value: float | None, n: int = 40) -> dict[str, Any]:
    if value is None:
        return {"value": None, "low": None, "high": None, "n": n}
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


def begin(run: Run) -> Run:
    runs.queue(run)
    assert runs.claim(run, "host:gpu0", "host:1")
    return run


def write_progress(run: Run, rows: list[dict[str, Any]]) -> int:
    """Appends to the run's curves; the size of the file then."""
    path = folder_of(run) / "progress.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path.stat().st_size


def step(number: int, **metrics: float) -> dict[str, Any]:
    more = {"metrics": metrics, "tokens_per_second": 100.0, "eta_seconds": 90}
    return {"time": 1.0, "kind": "step", "stage": "training", "step": number, "steps": 10, **more}


def complete(run: Run, metrics: dict[str, Any], dropped: list[dict[str, str]] | None = None) -> Artifact:
    """What the supervisor leaves of a run that went well; the weights are left out."""
    begin(run)
    manifest = {
        "recipe": run.recipe,
        "seed": 0,
        "metrics": metrics,
        "data": {"train": 24, "test": 6, "dropped": dropped or [], "truncated": 0},
        "device": "cpu",
        "precision": "float32",
        "packages": {"torch": "2.13.0"},
        "parameters": {"total": 1000, "trainable": 10},
    }
    artifact = Artifact.objects.create(
        project=run.project,
        name=run.name,
        task="reward" if run.recipe == "reward" else "policy",
        location=str(artifact_folder(run)),
        is_adapter=True,
        parent=run.model,
        run=run,
        snapshot=run.snapshot,
        manifest=manifest,
    )
    assert runs.finish(run, RunState.SUCCEEDED)
    if run.round:
        rounds.advance(run.round)
    run.refresh_from_db()
    return artifact
