"""The figures of a run stand where the run is: in the API's runs, and in what `train --json` prints."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from annotate.models import Project, Snapshot, User
from tests.training.workflow.products import finished
from training.management.options import facts_of
from training.models import Artifact, Run
from training.workflow.run_result import result_with_figures

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/projects/garden/runs/"
ACCURACY = {"value": 0.75, "low": 0.6, "high": 0.9, "n": 20}
METRICS = {"accuracy": ACCURACY, "loss": 0.4, "samples": [{"prompt": [], "old": "a", "new": "b"}]}


@pytest.fixture
def trained(project: Project, policy: Artifact, snapshot: Snapshot) -> Artifact:
    return finished(project, policy, "reward", snapshot=snapshot, name="Judge", metrics=METRICS)


def test_the_api_tells_figures_and_model_of_a_run(client: Client, lead: User, trained: Artifact) -> None:
    client.force_login(lead)
    told = client.get(f"{RUNS}{trained.run_id}/").json()
    assert told["result"]["metrics"] == {"accuracy": ACCURACY, "loss": 0.4}
    assert told["result"]["artifact"] == {"id": trained.pk, "name": "Judge", "deleted": False}
    [row] = client.get(RUNS).json()["results"]
    assert row["result"] == told["result"]


def test_the_commands_tell_the_same(trained: Artifact) -> None:
    facts = facts_of(Run.objects.get(pk=trained.run_id))
    assert facts["result"]["metrics"]["accuracy"] == ACCURACY
    assert (facts["artifact"], facts["result"]["artifact"]["id"]) == ("Judge", trained.pk)


def test_the_figures_of_a_model_outlive_it(trained: Artifact) -> None:
    Artifact.ever.filter(pk=trained.pk).update(deleted_at=timezone.now())
    told = result_with_figures(Run.objects.get(pk=trained.run_id))
    assert told["artifact"]["deleted"] is True and told["metrics"]["loss"] == 0.4


def test_a_run_without_a_model_keeps_its_own_result(project: Project, trained: Artifact) -> None:
    said: dict[str, Any] = {"samples": 6, "metrics": {"truncated": 1}}
    run = Run.objects.create(project=project, recipe="sample", name="s", result=said)
    assert result_with_figures(run) == said
