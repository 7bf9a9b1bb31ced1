"""What the API does not do however one asks: long pages, long sums, and telling annotators what the page hides."""

import json
import uuid

import pytest
from rest_framework.test import APIClient

from annotate.models import AgreementSummary, Comparison, Judgment, Project, User
from annotate.workflow.agreement_summary import refresh_summary
from tests.factories import judge_all

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/garden/"


def _client(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_a_page_of_a_list_has_a_limit(project: Project, comparisons: list[Comparison], reviewer: User) -> None:
    client = _client(reviewer)
    assert len(client.get(BASE + "prompts/?limit=1000").json()["results"]) == len(comparisons)
    for limit in ("1001", "999999999"):
        answer = client.get(BASE + f"prompts/?limit={limit}")
        assert (answer.status_code, answer.json()["field"]) == (400, "limit") and "1000" in answer.json()["detail"]


def test_of_a_large_project_agreement_is_what_is_kept(
    project: Project,
    comparisons: list[Comparison],
    ann: User,
    ben: User,
    reviewer: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge_all(project, ann, ["a", "b", "a"])
    judge_all(project, ben, ["a", "b", "b"])
    monkeypatch.setattr("annotate.workflow.agreement_summary.LIVE", 5)
    asked: list[Project] = []
    monkeypatch.setattr("annotate.api.projects.ask_for_agreement", asked.append)
    monkeypatch.setattr("annotate.api.projects.agreement_of", None)  # nothing is computed
    client = _client(reviewer)
    answer = client.get(BASE + "agreement/")
    assert (answer.status_code, answer.json()) == (202, {"computed_at": None, "is_stale": True})
    assert asked == [project] and not AgreementSummary.objects.exists()
    refresh_summary(project)
    kept = client.get(BASE + "agreement/?by=guideline").json()
    assert (kept["n_judgments"], kept["is_stale"], kept["by"]) == (6, False, "guideline")
    assert kept["groups_left_out"] == 0
    assert kept["groups"][0]["group"] == "v1" and "value" in kept["krippendorff_alpha"]["nominal"]
    refused = client.get(BASE + "agreement/?bootstrap=10000")
    assert (refused.status_code, refused.json()["field"]) == (400, "bootstrap")


@pytest.mark.parametrize("side", ["left", "tie", "right"])
def test_an_annotator_is_answered_in_the_screens_terms_only(project: Project, lead: User, ann: User, side: str) -> None:
    """A file names the same model first in every line: `choice` or `flipped` would tell which response is whose."""
    record = {"id": "c1", "prompt": "Why?", "response_a": "A", "response_b": "B", "model_a": "ours"}
    _client(lead).post(BASE + "comparisons/", {"content": json.dumps(record)}, format="json")
    client = _client(ann)
    card = client.post(BASE + "next/").json()
    answer = {"side": side, "client_key": str(uuid.uuid4()), "note": "clear", "seconds": 2.5}
    for _again in range(2):
        stored = client.post(f"{BASE}cards/{card['id']}/judgment/", answer, format="json").json()
        assert {name: stored[name] for name in answer} == answer
        assert set(stored) == {
            "id", "side", "degree", "note", "seconds", "guideline_version", "revision", "is_current", "is_surplus",
            "client_key", "created_at",
        }  # fmt: skip
    assert Judgment.objects.get().flipped is not None
