"""A cell of a bench that is whole, and was not timed before its process ended."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from annotate.models import Project, Snapshot
from tests.training.workflow.products import write_product
from training.models import Artifact, Bench, Run, RunState
from training.workflow import children, jobs, runner, runs
from training.workflow.folders import artifact_folder

pytestmark = [pytest.mark.django_db, pytest.mark.not_db]

TIMES = "import json, sys; p = sys.argv[1]; m = json.load(open(p)); json.dump({**m, 'latency': {}}, open(p, 'w'))"
DIES = "import os; os.kill(os.getpid(), 9)"
STOPS = "raise SystemExit(4)"


@pytest.fixture
def cell(project: Project, policy: Artifact, snapshot: Snapshot) -> Run:
    bench = Bench.objects.create(project=project, number=1, recipe="reward", snapshot=snapshot, model=policy)
    return runs.create_run(project, "reward", {}, "cell", model=policy, snapshot=snapshot, bench=bench)


def supervised(run: Run, monkeypatch: pytest.MonkeyPatch, does: str) -> str:
    """The state it comes to with a process that `does` this."""

    def start(folder: Path, *_: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", does, str(folder / "artifact" / "manifest.json")])

    monkeypatch.setattr(children, "start", start)
    return runner.execute(run.pk)


def whole(run: Run, **more: Any) -> None:
    jobs.prepare(run)
    write_product(artifact_folder(run), "reward", {**run.config}, **more)


def test_it_is_timed_by_the_next_worker(cell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole(cell)
    assert supervised(cell, monkeypatch, TIMES) == RunState.SUCCEEDED
    assert "latency" in Artifact.objects.get(run=cell).manifest


def test_a_worker_that_stops_leaves_it_to_the_next(cell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole(cell)
    assert supervised(cell, monkeypatch, STOPS) == RunState.QUEUED
    assert supervised(cell, monkeypatch, TIMES) == RunState.SUCCEEDED


def test_a_model_is_not_lost_because_it_cannot_be_timed(cell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole(cell)
    assert supervised(cell, monkeypatch, DIES) == RunState.SUCCEEDED
    assert "latency" not in Artifact.objects.get(run=cell).manifest


def test_one_that_was_timed_needs_no_process(cell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole(cell, latency={})
    monkeypatch.setattr(children, "start", None)
    assert runner.execute(cell.pk) == RunState.SUCCEEDED
