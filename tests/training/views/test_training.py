"""The pages that start a single run of any recipe."""

from typing import Any

import pytest
from django.test import Client

from annotate.models import DemonstrationSet, FeedbackSet, Project, Snapshot, User
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.feedback import import_feedback
from tests.training.views.test_forms import sent_back
from training.models import Artifact, Run
from training.workflow.starting import REWARDED, TRAINED

pytestmark = pytest.mark.django_db
URL = "/p/garden/runs/new/"


@pytest.fixture
def demonstrations(project: Project) -> DemonstrationSet:
    lines = [f'{{"prompt": "How {n}?", "response": "So."}}\n' for n in range(8)]
    return import_demonstrations(project=project, name="manners", lines=lines)[0]


@pytest.fixture
def scorer(project: Project, base: Artifact) -> Artifact:
    return Artifact.objects.create(project=project, name="scorer", task="reward", location="/scorer", parent=base)


def inputs(recipe: str, base: Artifact, snapshot: Snapshot, scorer: Artifact, set: DemonstrationSet) -> dict[str, Any]:
    sent: dict[str, Any] = {"model": base.pk, "seed": 3}
    sent |= {"demonstrations": set.pk} if recipe == "sft" else {"snapshot": snapshot.pk}
    return sent | ({"reward_model": scorer.pk} if recipe in REWARDED else {})


def test_the_choice_names_every_recipe_and_keeps_the_model(as_lead: Client, base: Artifact) -> None:
    page = as_lead.get(URL, {"model": base.pk}).content.decode()
    for recipe in TRAINED:
        assert f"?recipe={recipe}&amp;model={base.pk}" in page


@pytest.mark.parametrize("recipe", TRAINED)
def test_every_recipe_has_a_form_with_its_own_inputs_that_starts_it(
    as_lead: Client,
    snapshot: Snapshot,
    base: Artifact,
    scorer: Artifact,
    demonstrations: DemonstrationSet,
    recipe: str,
) -> None:
    asked = inputs(recipe, base, snapshot, scorer, demonstrations)
    page = as_lead.get(f"{URL}?recipe={recipe}")
    assert set(page.context["form"].fields) == {*asked, "name", "priority", "device"}
    answer = as_lead.post(f"{URL}?recipe={recipe}", {**sent_back(recipe, adapter="bias"), **asked})
    assert answer.status_code == 302, answer.context["form"].errors
    run = Run.objects.get()
    assert run.name.startswith(f"{recipe} · bias · {base} · ")
    assert answer.url == f"/p/garden/runs/{run.pk}/"
    assert (run.recipe, run.seed, run.config["adapter"], run.state) == (recipe, 3, "bias", "queued")
    assert run.reward_model == (scorer if recipe in REWARDED else None)


def test_a_run_can_be_given_a_name(as_lead: Client, snapshot: Snapshot, base: Artifact) -> None:
    asked = {"model": base.pk, "seed": 3, "snapshot": snapshot.pk, "name": " Short answers "}
    as_lead.post(f"{URL}?recipe=dpo", {**sent_back("dpo"), **asked})
    assert Run.objects.get().name == "Short answers"


@pytest.fixture
def feedback(project: Project) -> FeedbackSet:
    lines = [f'{{"prompt": "How {n}?", "completion": "So.", "label": {n % 3}}}\n' for n in range(6) if n % 3 < 2]
    return import_feedback(project=project, name="thumbs", lines=lines, test_share=0)[0]


def test_kto_learns_from_the_snapshot_unless_feedback_is_chosen(
    as_lead: Client, snapshot: Snapshot, base: Artifact, feedback: FeedbackSet
) -> None:
    page = as_lead.get(f"{URL}?recipe=kto")
    assert page.context["form"]["feedback"].value() is None
    assert "thumbs: 2 desirable, 2 undesirable to train, 0 to test" in page.content.decode()
    asked = {**sent_back("kto", adapter="bias"), "model": base.pk, "seed": 3, "snapshot": snapshot.pk}
    as_lead.post(f"{URL}?recipe=kto", {**asked, "feedback": ""})
    assert (Run.objects.first().snapshot, Run.objects.first().feedback) == (snapshot, None)
    as_lead.post(f"{URL}?recipe=kto", {**asked, "feedback": feedback.pk})
    run = Run.objects.first()
    assert (run.snapshot, run.feedback) == (None, feedback)
    again = as_lead.get(f"{URL}?recipe=kto&from={run.pk}").context["form"]
    assert (again["feedback"].value(), again["snapshot"].value()) == (feedback.pk, None)
    assert "thumbs" in as_lead.get(f"/p/garden/runs/{run.pk}/").content.decode()


def test_feedback_is_all_that_kto_needs(as_lead: Client, base: Artifact, feedback: FeedbackSet) -> None:
    page = as_lead.get(f"{URL}?recipe=kto&feedback={feedback.pk}")
    assert "snapshot" not in page.context["form"].fields
    assert str(page.context["form"]["feedback"].value()) == str(feedback.pk)
    asked = {**sent_back("kto", adapter="bias"), "model": base.pk, "seed": 3}
    assert as_lead.post(f"{URL}?recipe=kto", asked).context["form"].errors.keys() == {"feedback"}
    as_lead.post(f"{URL}?recipe=kto", {**asked, "feedback": feedback.pk})
    assert Run.objects.get().feedback == feedback
    assert "feedback" not in as_lead.get(f"{URL}?recipe=dpo").context["form"].fields


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("sft", "no demonstrations yet"),
        ("dpo", "no snapshot yet"),
        ("kto", "no votes yet"),
        ("ppo", "no snapshot yet"),
    ],
)
def test_what_is_missing_is_named_with_the_way_to_it(as_lead: Client, base: Artifact, recipe: str, words: str) -> None:
    assert words in as_lead.get(URL, {"recipe": recipe}).content.decode()


def test_ppo_without_a_reward_model_leads_to_training_one(as_lead: Client, snapshot: Snapshot, base: Artifact) -> None:
    page = as_lead.get(URL, {"recipe": "ppo"}).content.decode()
    assert "There is no reward model yet" in page and f"{URL}?recipe=reward" in page


def test_only_policies_are_offered_as_a_start_and_only_reward_models_as_a_judge(
    as_lead: Client, snapshot: Snapshot, base: Artifact, scorer: Artifact
) -> None:
    form = as_lead.get(URL, {"recipe": "ppo"}).context["form"]
    assert list(form.fields["model"].queryset) == [base]
    assert list(form.fields["reward_model"].queryset) == [scorer]


def test_a_setting_that_cannot_be_used_is_named_and_nothing_is_started(
    as_lead: Client, snapshot: Snapshot, base: Artifact
) -> None:
    sent = {**sent_back("dpo", epochs="0"), "model": base.pk, "snapshot": snapshot.pk, "seed": 0}
    answer = as_lead.post(f"{URL}?recipe=dpo", sent)
    assert answer.context["settings"].errors["epochs"]
    page = answer.content.decode()
    assert "A setting of “Policy (DPO)” cannot be used:" in page
    assert '<li><a href="#id_dpo-epochs">Epochs</a>:' in page and 'id="id_dpo-epochs"' in page
    assert not Run.objects.exists()


@pytest.mark.parametrize("recipe", ["sample", "merge", "export", "nonsense", "../x"])
def test_a_recipe_that_trains_nothing_has_no_form(as_lead: Client, base: Artifact, recipe: str) -> None:
    assert as_lead.get(URL, {"recipe": recipe}).status_code == 404


def test_only_a_manager_starts_a_run(client: Client, base: Artifact, reviewer: User, stranger: User) -> None:
    for person, status in ((reviewer, 403), (stranger, 404)):
        client.force_login(person)
        assert client.get(URL).status_code == client.post(f"{URL}?recipe=dpo").status_code == status
