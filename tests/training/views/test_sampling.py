"""The form that starts a sampling run."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import Batch, Project, User
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.projects import create_project
from tests.factories import make_prompts
from training.models import Artifact, Run, RunState
from training.workflow import runs, sampling
from training.workflow.refusals import checked_config

pytestmark = pytest.mark.django_db


def send(client: Client, base: Artifact, **changed: Any) -> Any:
    settings = {f"sample-{name}": value for name, value in checked_config("sample", {}).items() if value is not None}
    fields = {"model": base.pk, "reference": "", "batch_name": "First", "prompts": 2, "seed": 5}
    return client.post(reverse("sampling_create", args=["garden"]), {**fields, **settings, **changed})


def test_the_form_queues_a_run_into_a_batch_of_the_name_given(
    as_lead: Client, project: Project, base: Artifact
) -> None:
    prompts = make_prompts(project, 3)
    answer = send(as_lead, base, **{"sample-temperature": "0.5"})
    run = Run.objects.get(project=project)
    assert answer.url == reverse("run", args=["garden", run.pk])
    assert (run.batch.name, run.seed, run.config["temperature"]) == ("First", 5, 0.5)
    assert run.prompt_ids == [prompt.pk for prompt in prompts[:2]]


def test_one_response_alone_is_refused_unless_another_model_answers_too(
    as_lead: Client, project: Project, base: Artifact
) -> None:
    make_prompts(project, 2)
    alone = send(as_lead, base, **{"sample-samples_per_prompt": "1"})
    assert "makes no comparison" in alone.content.decode()
    assert not Run.objects.exists() and not Batch.objects.exists()
    other = Artifact.objects.create(project=project, name="other", location="owner/other")
    assert send(as_lead, base, reference=other.pk, **{"sample-samples_per_prompt": "1"}).status_code == 302
    assert Run.objects.get().reference_model == other


def test_a_model_is_not_compared_with_itself_by_another_name(as_lead: Client, project: Project, base: Artifact) -> None:
    make_prompts(project, 2)
    assert "This is the same model" in send(as_lead, base, reference=base.pk).content.decode()
    assert not Run.objects.exists()


def test_a_project_without_prompts_says_so_and_keeps_no_empty_batch(as_lead: Client, base: Artifact) -> None:
    page = send(as_lead, base).content.decode()
    assert "no prompts yet" in page
    assert not Batch.objects.exists()


def test_a_model_of_another_project_cannot_be_chosen(as_lead: Client, project: Project, lead: User) -> None:
    make_prompts(project, 2)
    other = create_project(slug="other", name="Other", manager=lead, guideline="x", summary="y")
    foreign = Artifact.objects.create(project=other, name="foreign", location="owner/foreign")
    assert send(as_lead, foreign).context["form"].errors["model"]
    assert not Run.objects.exists()


def test_only_a_manager_may_sample(client: Client, base: Artifact, reviewer: User, stranger: User) -> None:
    for person, status in ((reviewer, 403), (stranger, 404)):
        client.force_login(person)
        assert client.get(reverse("sampling_create", args=["garden"])).status_code == status
        assert send(client, base).status_code == status


def test_an_empty_queue_looks_again_by_itself_only_while_samples_are_written(
    client: Client, project: Project, base: Artifact, ann: User
) -> None:
    mark_read(version=current_version(project), user=ann)
    client.force_login(ann)
    page, asking = reverse("judge", args=["garden"]), 'hx-trigger="every 5s"'
    assert asking not in client.get(page).content.decode()
    run = sampling.start_sampling(project, base, {}, make_prompts(project, 2))
    assert asking in client.get(page).content.decode()
    assert (
        asking in client.post(reverse("judge_next", args=["garden"]), headers={"HX-Request": "true"}).content.decode()
    )
    runs.claim(run, "here:gpu0", "w:1")
    assert asking in client.get(page).content.decode()
    runs.finish(run, RunState.SUCCEEDED)
    assert asking not in client.get(page).content.decode()
