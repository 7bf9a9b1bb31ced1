"""A model that is deleted just when somebody begins to use it: one of the two comes first, and the other is refused.

SQLite has one writer at a time, so that the one in between comes afterwards there.
"""

from collections.abc import Callable

import pytest
from django.db import connection

from annotate.models import Project, Prompt, Snapshot
from tests.meanwhile import meanwhile
from tests.training.workflow.products import end, finished
from training.models import Artifact, Playground, Run, RunState
from training.workflow import benches, deletion, exporting, playground, rounds, runs, sampling, starting
from training.workflow.exceptions import ModelInUse, ModelRefused, RunNotResumable

pytestmark = pytest.mark.django_db(transaction=True)
Verb = Callable[[], object]


@pytest.fixture
def adapter(project: Project, policy: Artifact, snapshot: Snapshot) -> Artifact:
    return finished(project, policy, snapshot=snapshot)


@pytest.fixture(params=["training", "bench", "round", "sampling", "playground", "merge"])
def door(
    request: pytest.FixtureRequest, project: Project, adapter: Artifact, snapshot: Snapshot, prompts: list[Prompt]
) -> Verb:
    """A verb that makes runs with the adapter."""
    doors: dict[str, Verb] = {
        "training": lambda: starting.start_training(project, "dpo", snapshot, adapter, {}),
        "bench": lambda: benches.start_bench(project, "reward", snapshot, adapter, methods=["lora", "full"]),
        "round": lambda: rounds.start_round(project, snapshot, adapter, prompts=2),
        "sampling": lambda: sampling.start_sampling(project, adapter, {}, prompts),
        "playground": lambda: playground.start_playground(project, [adapter], anyway=True),
        "merge": lambda: exporting.start_merge(adapter),
    }
    return doors[request.param]


def is_there(model: Artifact) -> bool:
    return Artifact.objects.filter(pk=model.pk).exists()


def test_a_model_that_a_run_is_being_made_for_is_not_deleted(door: Verb, adapter: Artifact) -> None:
    with (
        pytest.raises(ModelInUse, match="going to use it"),
        meanwhile('INSERT INTO "training_run"', lambda: deletion.delete_artifact(adapter)),
    ):
        door()
    assert is_there(adapter) and Run.objects.unfinished().exists()


def test_no_run_is_made_for_a_model_that_is_being_deleted(door: Verb, adapter: Artifact) -> None:
    with (
        pytest.raises(ModelRefused, match=f"“{adapter}” has been deleted"),
        meanwhile('UPDATE "training_artifact"', door),
    ):
        deletion.delete_artifact(adapter)
    assert not is_there(adapter)
    assert not Run.objects.unfinished().exists() and not Playground.objects.exists()


@pytest.fixture
def failed(project: Project, adapter: Artifact, prompts: list[Prompt]) -> Run:
    return end(sampling.start_sampling(project, adapter, {}, prompts), RunState.FAILED)


def test_a_model_that_a_run_is_resumed_with_is_not_deleted(failed: Run, adapter: Artifact) -> None:
    with (
        pytest.raises(ModelInUse, match="going to use it"),
        meanwhile('UPDATE "training_run"', lambda: deletion.delete_artifact(adapter)),
    ):
        runs.resume(failed)
    assert is_there(adapter) and Run.objects.queued().get() == failed


def test_no_run_is_resumed_with_a_model_that_is_being_deleted(failed: Run, adapter: Artifact) -> None:
    assert failed.model == adapter, "read before"
    with (
        pytest.raises(RunNotResumable, match=f"“{adapter}” has been deleted"),
        meanwhile('UPDATE "training_artifact"', lambda: runs.resume(failed)),
    ):
        deletion.delete_artifact(adapter)
    assert not is_there(adapter) and not Run.objects.queued().exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="what SQLite's one writer rules out")
@pytest.mark.parametrize("door", ["round", "bench"], indirect=True)
def test_who_holds_the_project_and_who_holds_the_model_do_not_wait_for_each_other(
    door: Verb, project: Project, adapter: Artifact, prompts: list[Prompt]
) -> None:
    """The first holds the project and wants the model; the other one's batch needs the project."""
    with meanwhile("UPDATE", lambda: sampling.start_sampling(project, adapter, {}, prompts)):
        door()
    assert Run.objects.unfinished().filter(recipe="sample", round=None).exists()
    assert Run.objects.unfinished().exclude(recipe="sample").exists()
