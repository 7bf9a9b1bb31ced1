"""What the pages say about device and precision, and about what is done in another way than asked."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.training.views.conftest import begin, complete, write_progress
from training.models import Artifact, Round
from training.views.machine import told_by

pytestmark = pytest.mark.django_db
SAID = {
    "device": "NVIDIA Test",
    "precision": "bf16",
    "precision_reason": "The device computes in it.",
    "attention": "sdpa",
    "prompts": "computed once for all responses",
    "gradient_checkpointing": True,
    "fallbacks": ["The optimizer is not paged."],
}


def test_a_run_under_way_tells_it_from_what_it_has_said(as_lead: Client, round: Round) -> None:
    run = begin(round.runs.get(stage=0))
    write_progress(run, [{"time": 1, "kind": "status", "stage": "loading", **SAID}])
    page = as_lead.get(reverse("run", args=["garden", run.pk])).content.decode()
    for words in ("NVIDIA Test", "bf16", "The device computes in it.", "sdpa", "Gradient checkpointing"):
        assert words in page, words
    assert page.index("The optimizer is not paged.") < page.index('id="curves"'), "as a notice, not as a detail"


def test_a_run_that_is_done_tells_it_from_its_manifest_and_so_does_the_model(as_lead: Client, round: Round) -> None:
    artifact = complete(round.runs.get(stage=0), {})
    Artifact.objects.filter(pk=artifact.pk).update(manifest={**artifact.manifest, **SAID})
    for address in (reverse("run", args=["garden", artifact.run_id]), reverse("model", args=["garden", artifact.pk])):
        page = as_lead.get(address).content.decode()
        assert "NVIDIA Test" in page and "The optimizer is not paged." in page


def test_where_nothing_falls_back_there_is_no_notice(as_lead: Client, round: Round) -> None:
    run = begin(round.runs.get(stage=0))
    page = as_lead.get(reverse("run", args=["garden", run.pk])).content.decode()
    assert "does not do everything as asked" not in page


@pytest.mark.parametrize("fallbacks", [None, "a sentence", [], [""], {}])
def test_what_is_no_list_of_sentences_is_none(fallbacks: object) -> None:
    assert told_by({"fallbacks": fallbacks}).fallbacks == []
