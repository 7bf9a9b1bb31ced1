"""The list of models, the form that registers one, the page with its lineage, and the lineage of a judgment."""

from pathlib import Path

import pytest
from django.template import Context, Template
from django.test import Client
from django.urls import reverse

from annotate.models import Judgment, Project, Snapshot, User
from tests.training.views.conftest import complete, figure
from training.models import Artifact, Round, Run
from training.workflow import rounds, starting
from training.workflow.lineage import artifacts_of_judgment

pytestmark = pytest.mark.django_db


def test_a_hub_id_is_registered_and_listed(as_lead: Client, project: Project) -> None:
    answer = as_lead.post(reverse("model_register", args=["garden"]), {"name": "small", "location": "owner/small"})
    artifact = Artifact.objects.get(project=project)
    assert answer.url == reverse("model", args=["garden", artifact.pk])
    assert "small" in as_lead.get(reverse("models", args=["garden"])).content.decode()


def test_a_place_where_nothing_is_is_refused_in_words_and_not_listed(as_lead: Client, project: Project) -> None:
    fields = {"name": "gone", "location": "/nowhere/at/all"}
    page = as_lead.post(reverse("model_register", args=["garden"]), fields).content.decode()
    assert 'role="alert"' in page and "/nowhere/at/all" in page
    assert not Artifact.objects.exists()


def test_a_name_that_is_taken_is_refused(as_lead: Client, base: Artifact) -> None:
    fields = {"name": base.name, "location": "owner/other"}
    page = as_lead.post(reverse("model_register", args=["garden"]), fields).content.decode()
    assert "has a model called “base” already" in page
    assert Artifact.objects.count() == 1


def test_the_list_tells_what_a_model_takes_on_disk(as_lead: Client, project: Project, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"0" * 3 * 1024 * 1024)
    Artifact.objects.create(project=project, name="here", location=str(tmp_path))
    Artifact.objects.create(project=project, name="gone", location=str(tmp_path / "gone"))
    page = as_lead.get(reverse("models", args=["garden"])).content.decode()
    assert page.count("3.0\xa0MB") == 1


def test_the_page_leads_back_to_base_snapshot_and_people_and_on_to_children_and_rounds(
    as_lead: Client, round: Round, base: Artifact
) -> None:
    complete(round.runs.get(stage=0), {"accuracy": figure(0.8)})
    policy = complete(round.runs.get(stage=1), {"margin": figure(0.3)})
    page = as_lead.get(reverse("model", args=["garden", policy.pk])).content.decode()
    links = [
        reverse("model", args=["garden", base.pk]),
        reverse("run", args=["garden", policy.run_id]),
        reverse("round", args=["garden", 1]),
        reverse("snapshot", args=["garden", 1]),
    ]
    for words in (*links, "30: ann (30)", "0.2 to 0.4", "torch 2.13.0", "1,000, 10 of them trained"):
        assert words in page, words
    back = as_lead.get(reverse("model", args=["garden", base.pk])).content.decode()
    assert reverse("model", args=["garden", policy.pk]) in back
    assert reverse("round", args=["garden", 1]) in back


def test_from_a_judgment_one_can_walk_to_its_snapshots_and_models(round: Round, project: Project) -> None:
    policy = complete(round.runs.get(stage=0), {})
    tag = Template("{% load training_pages %}{% lineage_of_judgment judgment project %}")
    text = tag.render(Context({"judgment": Judgment.objects.first(), "project": project}))
    assert reverse("snapshot", args=["garden", 1]) in text
    assert reverse("model", args=["garden", policy.pk]) in text


def test_a_reviewer_looks_a_manager_registers_and_others_do_neither(
    client: Client, base: Artifact, ann: User, reviewer: User, stranger: User
) -> None:
    look = [reverse("models", args=["garden"]), reverse("model", args=["garden", base.pk])]
    register = reverse("model_register", args=["garden"])
    for person, (seen, registers) in {reviewer: (200, 403), ann: (403, 403), stranger: (404, 404)}.items():
        client.force_login(person)
        assert [client.get(page).status_code for page in look] == [seen, seen], person
        assert client.get(register).status_code == registers, person


def test_a_policy_and_its_reward_model_lead_to_each_other(
    as_lead: Client, project: Project, snapshot: Snapshot, base: Artifact
) -> None:
    round = rounds.start_round(project, snapshot, base, policy="grpo", prompts=2)
    scorer = complete(round.runs.get(stage=0), {})
    policy = complete(round.runs.get(stage=1), {})
    pages = [as_lead.get(reverse("model", args=["garden", one.pk])).content.decode() for one in (scorer, policy)]
    assert reverse("model", args=["garden", policy.pk]) in pages[0]
    assert "Rewarded by" in pages[1] and reverse("model", args=["garden", scorer.pk]) in pages[1]
    other = Artifact.objects.create(project=project, name="other", location="/x", parent=base)
    run = starting.start_training(project, "rloo", snapshot, base, {}, reward_model=scorer)
    Run.objects.filter(pk=run.pk).update(snapshot=None)
    elsewhere = Artifact.objects.create(project=project, name="elsewhere", location="/x", parent=base, run=run)
    judged = artifacts_of_judgment(Judgment.objects.counted().first())
    assert {scorer, policy, elsewhere} <= set(judged) and other not in judged
