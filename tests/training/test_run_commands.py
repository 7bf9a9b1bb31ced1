"""Runs and models without a browser: registered, listed, cancelled and resumed by command."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotate.models import Project, Snapshot, User
from tests.training.workflow.products import end, finished
from training.models import Artifact, Round, Run, RunState
from training.workflow import runs
from training.workflow.rounds import start_round

pytestmark = pytest.mark.django_db(transaction=True)


def printed(*arguments: object) -> str:
    out = StringIO()
    call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


def told(*arguments: object) -> dict[str, Any]:
    return json.loads(printed(*arguments, "--json"))


@pytest.fixture
def trained(project: Project, policy: Artifact, snapshot: Snapshot) -> Artifact:
    accuracy = {"value": 0.75, "low": 0.6, "high": 0.9, "n": 20}
    return finished(project, policy, "reward", snapshot=snapshot, name="Judge", metrics={"accuracy": accuracy})


@pytest.fixture
def queued(project: Project, policy: Artifact, snapshot: Snapshot) -> Run:
    return runs.create_run(project, "dpo", {}, "Next one", model=policy, snapshot=snapshot)


def test_a_base_model_is_registered(project: Project, model_folder: Path) -> None:
    facts = told("register_model", "garden", model_folder, "--name", "base")
    assert Artifact.objects.get(name="base").pk == facts["id"]
    assert (facts["task"], facts["location"]) == ("policy", str(model_folder))
    assert told("register_model", "garden", "owner/minilm", "--name", "reader", "--encoder")["task"] == "encoder"


@pytest.mark.parametrize(
    ("name", "location", "said"),
    [("base", "", "has a model called"), ("n" * 121, "", "name: "), ("other", "/no/such/folder", "/no/such/folder")],
)
def test_what_cannot_be_registered_is_refused_with_its_reason(
    project: Project, model_folder: Path, name: str, location: str, said: str
) -> None:
    printed("register_model", "garden", model_folder, "--name", "base")
    with pytest.raises(CommandError, match=said):
        printed("register_model", "garden", location or model_folder, "--name", name)
    assert Artifact.objects.count() == 1


def test_runs_are_listed_with_their_figure_or_what_they_wait_for(trained: Artifact, queued: Run) -> None:
    first, second = printed("runs", "garden").splitlines()
    assert "Next one" in first and "queued" in first
    assert second.endswith("Judge: accuracy 0.750 [0.600, 0.900], n = 20")
    facts = told("runs", "garden")
    assert [row["run"] for row in facts["runs"]] == [queued.pk, trained.run_id]
    assert facts["runs"][1]["result"]["metrics"]["accuracy"]["value"] == 0.75
    assert facts["runs"][0]["waits_for"] and facts["runs"][0]["ended_at"] is None


def test_a_run_without_a_figure_is_listed_with_what_came_of_it(trained: Artifact, queued: Run) -> None:
    few = {"value": None, "low": None, "high": None, "n": 2, "reason": "Only 2 held-out pairs: too few."}
    trained.manifest["metrics"] = {"accuracy": few}
    trained.save()
    Run.objects.filter(pk=queued.pk).update(recipe="sample", state="succeeded", result={"comparisons": 18})
    first, second = printed("runs", "garden").splitlines()
    assert first.endswith("Next one: 18 comparisons") and "Judge: Only 2 held-out pairs" in second


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (["--state", "succeeded"], ["Judge"]),
        (["--recipe", "dpo"], ["Next one"]),
        (["--q", "next"], ["Next one"]),
        (["--sort", "oldest"], ["Judge", "Next one"]),
        (["--model", "fixture", "--snapshot", "1"], ["Next one", "Judge"]),
        (["--pinned"], []),
        (["--limit", "1"], ["Next one"]),
    ],
)
def test_runs_are_found_as_on_the_page(trained: Artifact, queued: Run, asked: list[str], names: list[str]) -> None:
    assert [row["name"] for row in told("runs", "garden", *asked)["runs"]] == names


def test_what_is_not_there_to_look_for_is_refused(trained: Artifact, queued: Run) -> None:
    with pytest.raises(CommandError, match="--round: "):
        printed("runs", "garden", "--round", 7)
    with pytest.raises(CommandError, match="“fixture”"):
        printed("runs", "garden", "--model", "nope")
    assert "1 more" in printed("runs", "garden", "--limit", 1)


def test_a_run_is_cancelled_and_resumed_for_somebody(queued: Run, lead: User) -> None:
    assert told("cancel_run", "garden", queued.pk, "--by", "lead")["state"] == "cancelled"
    with pytest.raises(CommandError, match="is over already"):
        printed("cancel_run", "garden", queued.pk)
    assert told("resume_run", "garden", queued.pk, "--by", "lead")["state"] == "queued"
    assert [event.actor for event in queued.events.exclude(state="queued", detail="")] == [lead, lead]
    with pytest.raises(CommandError, match="cannot be resumed"):
        printed("resume_run", "garden", queued.pk)
    with pytest.raises(CommandError, match=r"has no run 9999"):
        printed("cancel_run", "garden", 9999)


@pytest.fixture
def round(project: Project, policy: Artifact, snapshot: Snapshot) -> Round:
    return start_round(project, snapshot, policy, {})


def test_a_stage_whose_turn_has_not_come_is_not_waited_for(round: Round) -> None:
    first, second, *_rest = round.runs.order_by("stage")
    end(first, RunState.FAILED)
    runs.request_cancel(second)
    with pytest.raises(CommandError, match="a stage of its round before it is not done"):
        printed("resume_run", "garden", second.pk, "--wait")
    second.refresh_from_db()
    assert second.state == RunState.CANCELLED
    assert told("resume_run", "garden", second.pk)["state"] == "waiting"


@pytest.mark.usefixtures("forked")
def test_a_run_that_fails_here_is_told_with_code_and_number(queued: Run) -> None:
    Artifact.objects.update(location="/no/such/model")
    runs.request_cancel(queued)
    with pytest.raises(CommandError, match="/no/such/model") as caught:
        printed("resume_run", "garden", queued.pk, "--wait")
    body = caught.value.body
    assert (body["run"], body["state"]) == (queued.pk, "failed") and body["code"] not in ("", "RunFailed")
    assert body["hint"]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_resumed_run_is_carried_out_here(queued: Run) -> None:
    quick = {"epochs": 1, "batch_size": 8, "max_length": 128}
    Run.objects.filter(pk=queued.pk).update(config={**queued.config, **quick})
    runs.request_cancel(queued)
    facts = told("resume_run", "garden", queued.pk, "--wait")
    assert facts["state"] == "succeeded" and facts["result"]["metrics"]
