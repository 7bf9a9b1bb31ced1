"""The page that imports comparisons, and where imported judgments show."""

import gzip
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from annotate.models import Comparison, Project, User

pytestmark = pytest.mark.django_db
PAGE = "/p/garden/comparisons/upload/"
RECORD = {
    "id": "c1", "prompt": "Why?", "response_a": "Because.", "response_b": "So.",
    "annotations": [{"annotator": "Wang Fang", "choice": "a"}, {"annotator": "w2", "choice": "b"}],
}  # fmt: skip


@pytest.fixture
def manager(client: Client, lead: User, project: Project) -> Client:
    client.force_login(lead)
    return client


def _upload(client: Client, content: bytes, name: str = "p.jsonl") -> str:
    return client.post(PAGE, {"file": SimpleUploadedFile(name, content)}, follow=True).content.decode()


def test_a_file_is_imported_and_its_judgments_show_the_given_names(manager: Client) -> None:
    html = _upload(manager, gzip.compress(json.dumps(RECORD).encode()), "p.jsonl.gz")
    assert "1 comparison and 2 judgments added" in html
    page = manager.get(f"/p/garden/comparisons/{Comparison.objects.get().pk}/").content.decode()
    assert "<td>Wang Fang</td>" in page and "import:garden" not in page
    assert "<td>Wang Fang</td>" in manager.get("/p/garden/").content.decode()


def test_what_is_wrong_is_listed_by_line(manager: Client) -> None:
    html = _upload(manager, json.dumps(RECORD).encode() + b"\nnonsense\n")
    assert "Nothing was imported" in html and '<td class="num">2</td>' in html
    assert not Comparison.objects.exists()


def test_imported_annotators_are_counted_among_the_members_and_offered_no_role(manager: Client) -> None:
    _upload(manager, json.dumps(RECORD).encode())
    html = manager.get("/p/garden/members/").content.decode()
    assert "2 annotators known from an import only" in html and "Wang Fang" not in html


def test_an_imported_annotator_cannot_sign_in_or_be_made_a_member_by_name(manager: Client) -> None:
    _upload(manager, json.dumps(RECORD).encode())
    name = "import:garden:w2"
    assert User.objects.filter(username=name).exists()
    answer = manager.post("/p/garden/members/", {"username": name, "role": "manager"})
    assert answer.status_code == 400
    assert not Client().login(username=name, password="")
