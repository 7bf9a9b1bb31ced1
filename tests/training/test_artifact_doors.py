"""Merge, export, card, deletion and disk use by command and over the API."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from annotate.models import Project, Snapshot, User
from tests.training.workflow.products import checkpoint_of, finished
from training.models import Artifact, Run

pytestmark = pytest.mark.django_db
MODELS = "/api/v1/projects/garden/models/"


@pytest.fixture
def adapter(project: Project, policy: Artifact, snapshot: Snapshot) -> Artifact:
    return finished(project, policy, snapshot=snapshot, name="Tuned")


@pytest.fixture
def as_lead(client: Client, lead: User) -> Client:
    client.force_login(lead)
    return client


def told(*arguments: str) -> dict:
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_commands_queue_a_merge_and_an_export(adapter: Artifact):
    assert told("merge_model", "garden", "--model", "Tuned")["state"] == "queued"
    told("export_model", "garden", "--model", "Tuned", "--folder", "x", "--dtype", "float16", "--push", "ann/x")
    config = Run.objects.get(recipe="export").config
    assert (config["dtype"], config["repository"], config["private"]) == ("float16", "ann/x", True)
    with pytest.raises(CommandError, match="never writes over"):
        call_command("export_model", "garden", "--model", "Tuned", "--folder", "x")
    with pytest.raises(CommandError, match="“Tuned”, “fixture”"):
        call_command("merge_model", "garden", "--model", "nope")


def test_a_command_prints_the_card(adapter: Artifact):
    out = StringIO()
    call_command("model_card", "garden", "--model", "Tuned", stdout=out)
    assert out.getvalue().startswith("---\n") and "# Tuned" in out.getvalue()


def test_a_command_deletes_only_when_told_yes(adapter: Artifact, policy: Artifact, lead: User):
    out = StringIO()
    call_command("delete_model", "garden", "--model", "Tuned", stdout=out)
    assert "Nothing was changed" in out.getvalue() and Artifact.objects.filter(pk=adapter.pk).exists()
    with pytest.raises(CommandError, match="It cannot be deleted") as refused:
        call_command("delete_model", "garden", "--model", policy.name)
    assert refused.value.body["code"] == "ModelInUse" and "Tuned" in refused.value.body["reasons"][0]
    with pytest.raises(CommandError, match="An adapter needs it"):
        call_command("delete_model", "garden", "--model", policy.name, "--yes")
    facts = told("delete_model", "garden", "--model", "Tuned", "--yes", "--by", "lead")
    assert facts["deleted"] and facts["freed"] > 0
    assert Artifact.ever.get(pk=adapter.pk).deleted_by == lead


def test_a_command_tells_and_frees_the_disk(adapter: Artifact):
    path = checkpoint_of(adapter.run, 700)
    assert told("disk", "garden")["checkpoints"] == 700
    assert told("disk", "garden", "--free", "checkpoints")["freed"] == 700
    assert not path.exists()


def test_the_api_merges_exports_and_tells_the_card(as_lead: Client, adapter: Artifact):
    merge = as_lead.post(f"{MODELS}{adapter.pk}/merge/")
    assert (merge.status_code, merge.json()["recipe"]) == (201, "merge")
    body = {"config": {"folder": "x", "form": "adapter"}}
    export = as_lead.post(f"{MODELS}{adapter.pk}/exports/", body, content_type="application/json")
    assert (export.status_code, export.json()["config"]["form"]) == (201, "adapter")
    again = as_lead.post(f"{MODELS}{adapter.pk}/exports/", body, content_type="application/json")
    assert (again.status_code, again.json()["code"], again.json()["field"]) == (409, "ExportExists", "folder")
    card = as_lead.get(f"{MODELS}{adapter.pk}/card/")
    assert card["Content-Type"].startswith("text/markdown") and b"# Tuned" in card.content


def test_the_api_shows_dependents_and_deletes(as_lead: Client, adapter: Artifact, policy: Artifact):
    found = as_lead.get(f"{MODELS}{policy.pk}/dependents/").json()
    assert found["adapters"] == [adapter.pk] and found["reasons"]
    refused = as_lead.delete(f"{MODELS}{policy.pk}/")
    assert (refused.status_code, refused.json()["code"]) == (409, "ModelInUse")
    folder = Path(adapter.location)
    assert as_lead.delete(f"{MODELS}{adapter.pk}/").json()["freed"] > 0
    assert not folder.exists() and as_lead.get(f"{MODELS}{adapter.pk}/").status_code == 404


def test_the_api_tells_and_frees_the_disk(as_lead: Client, adapter: Artifact):
    checkpoint_of(adapter.run, 700)
    address = "/api/v1/projects/garden/disk/"
    assert as_lead.get(address).json()["checkpoints"] == 700
    assert as_lead.post(address, {"what": "checkpoints"}, content_type="application/json").json() == {"freed": 700}
    assert as_lead.post(address, {"what": "models"}, content_type="application/json").status_code == 400


def test_a_reviewer_may_look_and_no_more(client: Client, adapter: Artifact, reviewer: User):
    client.force_login(reviewer)
    assert client.get(f"{MODELS}{adapter.pk}/card/").status_code == 200
    for method, path in (("delete", ""), ("post", "merge/"), ("post", "exports/")):
        assert getattr(client, method)(f"{MODELS}{adapter.pk}/{path}").status_code == 403, path
    assert client.post("/api/v1/projects/garden/disk/").status_code == 403
