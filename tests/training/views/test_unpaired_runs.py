"""Runs on single votes wherever runs are shown, compared, estimated and described."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import FeedbackSet, Project, Snapshot
from annotate.workflow.feedback import import_feedback
from tests.training.small_model import small_model
from tests.training.views.conftest import complete, figure
from tests.training.views.test_estimates import HTMX
from tests.training.views.test_forms import sent_back
from tests.training.views.test_runs_list import ended, names
from training.models import Artifact, Run
from training.workflow import device, estimates, runs, starting
from training.workflow.card_facts import card_for
from training.workflow.differences import differences_of
from training.workflow.estimated_times import data_of, earlier_runs, kept_from
from training.workflow.evaluation import LABELS
from training.workflow.headlines import headline_of

pytestmark = pytest.mark.django_db
MEASURED = {
    "auc": figure(0.8),
    "vote_accuracy": figure(0.75),
    "reward_desirable": figure(0.4),
    "reward_undesirable": figure(-0.3),
    "kl": figure(0.02),
    "loss": figure(0.4),
}


@pytest.fixture
def feedback(project: Project) -> FeedbackSet:
    question = "How? " * 80
    lines = [f'{{"prompt": "{question}{n}", "completion": "{"So. " * 10}", "label": {n % 2}}}\n' for n in range(8)]
    return import_feedback(project=project, name="thumbs", lines=lines, test_share=0)[0]


@pytest.fixture
def run(project: Project, policy: Artifact, feedback: FeedbackSet) -> Run:
    return starting.start_training(project, "kto", None, policy, {"undesirable_weight": 2.0}, feedback=feedback)


def test_figures_of_votes_are_headed_by_the_auc(run: Run, as_lead: Client) -> None:
    artifact = complete(run, MEASURED)
    assert headline_of(artifact).name == "auc"
    page = as_lead.get(f"/p/garden/runs/{run.pk}/").content.decode()
    for words in ("AUC of the implicit reward", "on their side of the baseline", "Implicit reward of undesirable"):
        assert words in page
    assert "Reward margin against the reference" not in page
    assert "Trained on 24 single responses, evaluated on 6." in page
    assert "AUC of the implicit reward" in as_lead.get("/p/garden/runs/").content.decode()
    model = as_lead.get(f"/p/garden/models/{artifact.pk}/").content.decode()
    assert "<dt>Feedback</dt><dd>thumbs</dd>" in model


def test_the_best_result_on_votes_comes_first_and_apart_from_those_on_pairs(
    project: Project, policy: Artifact, snapshot: Snapshot, feedback: FeedbackSet, as_lead: Client
) -> None:
    for name, value in (("pairs worse", 0.1), ("pairs better", 0.6)):
        ended(project, name, "kto", value, snapshot=snapshot)
    for name, value in (("votes worse", 0.5), ("votes better", 0.9)):
        made = runs.create_run(project, "kto", {}, name, model=policy, feedback=feedback)
        complete(made, {**MEASURED, "auc": figure(value)})
    assert names(as_lead, sort="result") == ["pairs better", "pairs worse", "votes better", "votes worse"]


def test_runs_on_pairs_and_on_votes_are_not_compared(
    project: Project, policy: Artifact, snapshot: Snapshot, feedback: FeedbackSet
) -> None:
    def made(low: float, high: float, **source: Any) -> Run:
        found = runs.create_run(project, "kto", {}, f"at {low}", model=policy, **source)
        complete(found, {**MEASURED, "auc": {"value": (low + high) / 2, "low": low, "high": high, "n": 40}})
        return found

    worse, better = made(0.5, 0.6, feedback=feedback), made(0.8, 0.9, feedback=feedback)
    found = differences_of([worse, better])
    assert not found.warnings and [cell.best for cell in dict(found.results)[str(LABELS["kto"]["auc"])]] == [
        False,
        True,
    ]
    other = differences_of([better, made(0.1, 0.2, snapshot=snapshot)])
    assert "learned from different data" in other.warnings[0]
    assert [row.values for row in other.data if row.name == "feedback"] == [[feedback, None]]
    assert not any(cell.best for _name, cells in other.results for cell in cells)


def test_a_card_names_the_votes_and_how_to_train_on_them_again(run: Run) -> None:
    card = card_for(complete(run, MEASURED))
    assert "Learned from single votes on responses, the feedback thumbs" in card
    assert "--feedback thumbs" in card and "--snapshot" not in card


@pytest.mark.usefixtures("speed_is_known")
def test_a_vote_is_estimated_as_one_response_with_its_prompt(
    project: Project, feedback: FeedbackSet, tmp_path: Path
) -> None:
    model, machine = small_model(project, tmp_path), device.machine("cpu", 1)
    data = data_of("kto", model, None, None, feedback=feedback)
    assert (data.examples, data.held_out, data.prompt) == (8, 0, 0)
    assert data.tokens == pytest.approx(30 + (401 + 40) / 4, abs=0.5)
    told = estimates.asked_of("kto", model, {}, feedback=feedback, machine=machine)
    assert told.chosen.durations.parts["reading"] > 0
    done = runs.create_run(project, "kto", {"adapter": "lora"}, "done", model=model, feedback=feedback)
    complete(done, MEASURED)
    assert "reference" in kept_from(earlier_runs(model), {"adapter": "lora"}, feedback, machine)
    again = estimates.asked_of("kto", model, {}, feedback=feedback, machine=machine)
    assert again.chosen.durations.parts["reading"] == 0


def test_the_form_says_with_which_weight_votes_of_two_kinds_would_weigh_alike(
    as_lead: Client, project: Project, feedback: FeedbackSet, tmp_path: Path
) -> None:
    """Four of either kind: only weights can put them out of balance."""

    def asked(**changed: str) -> str:
        sent = {"estimate": "1", "model": model.pk, "feedback": feedback.pk, "seed": 1, **sent_back("kto", **changed)}
        return as_lead.post(f"{reverse('run_create', args=['garden'])}?recipe=kto", sent, **HTMX).content.decode()

    model = small_model(project, tmp_path)
    assert "it should be 1 to" not in asked()
    page = asked(undesirable_weight="2.0")
    assert "is 0.50 times that of the undesirable ones" in page
    assert "With 2.00 as the weight of desirable responses" in page
    assert "With 3.00 as the weight of undesirable responses" in asked(desirable_weight="3.0")
    assert "it should be 1 to" not in asked(desirable_weight="1.33")
