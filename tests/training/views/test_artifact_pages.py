"""Export, merge, card, deletion and disk use in the browser: what is shown, refused and done, and by whom."""

from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from annotate.models import Project, Snapshot, User
from tests.training.workflow.products import checkpoint_of, end, exported, finished
from training.models import Artifact, Run, RunState
from training.recipes.export import export_folder
from training.workflow import exporting

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(project: Project, base: Artifact, snapshot: Snapshot) -> Artifact:
    return finished(project, base, snapshot=snapshot, name="Tuned <b>")


def address(name: str, *more: object) -> str:
    return reverse(name, args=["garden", *more])


def page_of(client: Client, name: str, *more: object) -> str:
    return client.get(address(name, *more)).content.decode()


def test_an_export_is_queued_from_its_form(as_lead: Client, adapter: Artifact) -> None:
    form = page_of(as_lead, "model_export", adapter.pk)
    assert 'value="tuned-b"' in form and "Tuned &lt;b&gt;" in form
    fields = {"export-folder": "mine", "export-form": "merged", "export-dtype": "bfloat16", "export-private": "on"}
    answer = as_lead.post(address("model_export", adapter.pk), fields)
    run = Run.objects.get(recipe="export")
    assert answer.url == address("run", run.pk)
    assert run.config == {
        "folder": "mine", "form": "merged", "dtype": "bfloat16", "repository": "", "private": True,
    }  # fmt: skip


def test_a_name_that_is_taken_stands_at_its_field_with_the_reason(as_lead: Client, adapter: Artifact) -> None:
    export_folder(Path(settings.MODELS_DIR), "garden", "mine").mkdir(parents=True)
    fields = {"export-form": "merged", "export-dtype": "float32"}
    page = as_lead.post(address("model_export", adapter.pk), {**fields, "export-folder": "mine"})
    assert "never writes over anything" in page.content.decode()
    page = as_lead.post(address("model_export", adapter.pk), {**fields, "export-folder": "../x"})
    assert "cannot be the name of a directory" in page.content.decode()
    assert not Run.objects.filter(recipe="export").exists()


def test_what_cannot_be_merged_says_so_and_offers_the_adapter(
    as_lead: Client, project: Project, base: Artifact, snapshot: Snapshot
) -> None:
    artifact = finished(project, base, config={"adapter": "prefix"}, snapshot=snapshot)
    page = page_of(as_lead, "model", artifact.pk)
    assert "exported as an adapter only" in page and address("model_merge", artifact.pk) not in page
    form = page_of(as_lead, "model_export", artifact.pk)
    assert "Prefix-Tuning" in form and '<option value="adapter" selected>' in form
    fields = {"export-folder": "x", "export-form": "merged", "export-dtype": "float32"}
    refused = as_lead.post(address("model_export", artifact.pk), fields)
    assert "cannot become part of the weights" in refused.content.decode()


def test_a_merge_is_one_button(as_lead: Client, adapter: Artifact) -> None:
    assert address("model_merge", adapter.pk) in page_of(as_lead, "model", adapter.pk)
    answer = as_lead.post(address("model_merge", adapter.pk))
    run = Run.objects.get(recipe="merge")
    assert answer.url == address("run", run.pk) and run.model == adapter
    assert as_lead.get(answer.url).status_code == 200


def test_the_card_is_a_page_and_a_file(as_lead: Client, adapter: Artifact, ann: User) -> None:
    page = page_of(as_lead, "model_card", adapter.pk)
    assert "30 judgments by 1 annotator," in page and "<b>" not in page
    file = as_lead.get(address("model_card_file", adapter.pk))
    assert file.content.startswith(b"---\n") and "README.md" in file["Content-Disposition"]
    assert ann.username not in file.content.decode().split()


def test_deleting_shows_first_what_depends_on_it(as_lead: Client, adapter: Artifact, base: Artifact) -> None:
    page = page_of(as_lead, "model_delete", base.pk)
    assert "It cannot be deleted now" in page and address("model", adapter.pk) in page
    assert "Delete this model" not in page
    refused = as_lead.post(address("model_delete", base.pk), follow=True).content.decode()
    assert "An adapter needs it" in refused and Artifact.objects.filter(pk=base.pk).exists()
    assert "Delete this model" in page_of(as_lead, "model_delete", adapter.pk)
    answer = as_lead.post(address("model_delete", adapter.pk))
    assert answer.url == address("models")
    assert "Tuned" not in page_of(as_lead, "models").replace("is deleted", "").partition("<table>")[2]
    grave = page_of(as_lead, "model", adapter.pk)
    assert "by lead" in grave and address("model_export", adapter.pk) not in grave
    assert as_lead.get(address("model_delete", adapter.pk)).status_code == 404
    assert "was deleted" in page_of(as_lead, "run", adapter.run_id)


def test_an_export_is_shown_with_its_place_and_deleted_by_a_button(as_lead: Client, adapter: Artifact) -> None:
    run = end(exporting.start_export(adapter, {"folder": "mine"}))
    folder = export_folder(Path(settings.MODELS_DIR), "garden", "mine")
    exported(run, folder)
    exporting.take_in(run)
    assert str(folder) in page_of(as_lead, "run", run.pk)
    assert address("run", run.pk) in page_of(as_lead, "model", adapter.pk)
    as_lead.post(address("export_delete", run.pk))
    assert not folder.exists()
    assert address("export_delete", run.pk) not in page_of(as_lead, "run", run.pk)


def test_disk_use_stands_under_the_models_and_is_freed_by_a_button(as_lead: Client, adapter: Artifact) -> None:
    checkpoint = checkpoint_of(adapter.run, 5_000_000)
    page = page_of(as_lead, "models")
    assert "4.8\xa0MB" in page and 'value="checkpoints"' in page and 'value="reference"' not in page
    answer = as_lead.post(address("disk_free"), {"what": "checkpoints"}, follow=True).content.decode()
    assert "4.8\xa0MB are free again" in answer and not checkpoint.exists()
    assert 'value="checkpoints"' not in answer


def test_only_managers_export_merge_delete_and_free(
    client: Client, adapter: Artifact, reviewer: User, ann: User, stranger: User
) -> None:
    run = end(exporting.start_export(adapter, {"folder": "mine"}), RunState.FAILED)
    posts = [
        address("model_export", adapter.pk), address("model_merge", adapter.pk), address("model_delete", adapter.pk),
        address("disk_free"), address("export_delete", run.pk),
    ]  # fmt: skip
    looks = [address("model_card", adapter.pk), address("model_card_file", adapter.pk)]
    for person, (looking, doing) in {reviewer: (200, 403), ann: (403, 403), stranger: (404, 404)}.items():
        client.force_login(person)
        assert [client.get(page).status_code for page in looks] == [looking] * 2, person
        assert [client.post(page).status_code for page in posts] == [doing] * 5, person
    client.force_login(reviewer)
    page = client.get(address("models")).content.decode()
    assert "Disk use" in page and address("disk_free") not in page
