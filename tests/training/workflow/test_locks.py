"""Two who change the same thing at once: a model that is deleted just when somebody begins to use it, a run that is
cancelled while its worker ends it. One of the two comes first, and the other finds what was done.

SQLite has one writer at a time, so that the one in between comes afterwards there.
"""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import suppress

import pytest
from django.conf import LazySettings
from django.db import connection, transaction

from annotate.models import Project, Prompt, Snapshot
from tests.meanwhile import meanwhile
from tests.training.workflow.products import end, finished, write_product
from training.models import Artifact, Playground, Round, Run, RunState, Sample
from training.workflow import (
    artifacts,
    benches,
    deletion,
    exporting,
    playground,
    rounds,
    runner,
    runs,
    sampling,
    starting,
)
from training.workflow.exceptions import ModelInUse, ModelRefused, NotCancellable, RunNotResumable
from training.workflow.folders import artifact_folder

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
def merged(project: Project, adapter: Artifact, policy: Artifact) -> Artifact:
    made = finished(project, adapter, recipe="merge", name="merged")
    shutil.copytree(policy.location, made.location, dirs_exist_ok=True)
    return made


def test_files_from_which_a_model_is_being_registered_do_not_go(project: Project, merged: Artifact) -> None:
    with (
        pytest.raises(ModelInUse, match="was registered from its files"),
        meanwhile('INSERT INTO "training_artifact"', lambda: deletion.delete_artifact(merged)),
    ):
        artifacts.register_base(project, "mine", merged.location)
    assert is_there(merged)


def test_no_model_is_registered_from_files_that_are_about_to_go(project: Project, merged: Artifact) -> None:
    with (
        pytest.raises(ModelRefused, match="“merged” has been deleted"),
        meanwhile(
            'UPDATE "training_artifact"', lambda: artifacts.register_base(project, "mine", f"{merged.location}/")
        ),
    ):
        deletion.delete_artifact(merged)
    assert not Artifact.objects.filter(name="mine").exists()


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


@pytest.fixture
def round(project: Project, snapshot: Snapshot, policy: Artifact, prompts: list[Prompt]) -> Round:
    """Its first stage is claimed, and its product is there already."""
    made = rounds.start_round(project, snapshot, policy, prompts=2)
    run = made.runs.get(stage=0)
    assert runs.claim(run, "host:local", "host:1")
    write_product(artifact_folder(run), "reward", {})
    return made


def test_stages_are_cancelled_one_by_one_while_the_first_one_comes_to_its_end(round: Round) -> None:
    """Its result is kept, whoever cancels the stages behind it."""
    first, second = round.runs.get(stage=0), round.runs.get(stage=1)
    assert runs.request_cancel(Run.objects.get(pk=first.pk)) == RunState.CANCELLING

    def cancel() -> None:
        with suppress(NotCancellable):  # it may come second
            runs.request_cancel(second)

    with meanwhile('"training_run"."stage" ASC', cancel):
        runner._Supervision(first)._succeed()
    states = list(round.runs.order_by("stage").values_list("state", flat=True))
    assert states == [RunState.SUCCEEDED, RunState.CANCELLED, RunState.CANCELLED]


def test_a_run_is_cancelled_while_it_goes_back_to_the_queue(project: Project, policy: Artifact) -> None:
    """It was at work when it was looked at first, and waited when it was to be stopped."""
    run = runs.create_run(project, "dpo", {}, "r", model=policy)
    assert runs.claim(run, "host:local", "host:1")
    mine = Run.objects.get(pk=run.pk)
    with meanwhile('UPDATE "training_run"', lambda: runs.release(run, "Its worker was stopped.")):
        runs.request_cancel(mine)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED


def test_a_bench_is_resumed_while_somebody_resumes_one_of_its_runs(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    bench = benches.start_bench(project, "reward", snapshot, policy, methods=["lora", "full"])
    first, second = (end(run, RunState.FAILED) for run in bench.runs.order_by("pk"))

    def resume() -> None:
        with suppress(RunNotResumable):  # it may come second
            runs.resume(second)

    with meanwhile('FROM "training_run"', resume):
        assert first in benches.resume_bench(bench)
    assert set(bench.runs.values_list("state", flat=True)) == {RunState.QUEUED}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="what SQLite's one writer rules out")
def test_a_supervisor_whose_samples_wait_for_an_import_goes_on_beating(
    project: Project, policy: Artifact, prompts: list[Prompt], settings: LazySettings
) -> None:
    """An import holds the project for minutes: the run would be given to another worker while this one has it."""
    settings.HEARTBEAT_TIMEOUT = 6
    run = sampling.start_sampling(project, policy, {}, prompts)
    assert runs.claim(run, "host:local", "host:1")
    told = {"model": "new", "tokens": 3, "finished": True, "seed": 1}
    lines = [{"prompt": each.pk, "index": i, "text": f"text {i}", **told} for each in prompts for i in range(2)]
    path = sampling.samples_of(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    supervised = runner._Supervision(run)

    def look() -> bool:
        going_on = supervised._look()
        return going_on and not imported

    imported: list[bool] = []
    with meanwhile("FOR NO KEY UPDATE", look) as looked:
        with transaction.atomic():
            Project.objects.select_for_update(no_key=True).get(pk=project.pk)
            wait(looked, timeout=3)
        imported.append(True)
    assert looked[0].result(), "it has waited until the import was over"
    assert supervised._look() and Sample.objects.count() == 2 * len(prompts)
