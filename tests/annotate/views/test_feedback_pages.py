"""The pages, the API and the command of feedback: upload, list, look; managers only."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from annotate.models import FeedbackSet, Project, User
from annotate.workflow.feedback import import_feedback

PAGES = "/p/garden/feedback/"
API = "/api/v1/projects/garden/feedback/"
LINES = "".join(
    json.dumps({"prompt": f"怎么种 {i}？", "completion": f"**Water** {i}.", "label": i % 4 > 0}) + "\n"
    for i in range(12)
)


@pytest.fixture
def manager(client: Client, lead: User, project: Project) -> Client:
    client.force_login(lead)
    return client


@pytest.fixture
def stored(project: Project) -> FeedbackSet:
    return import_feedback(project=project, name="Garden thumbs", lines=StringIO(LINES), test_share=0)[0]


def upload(client: Client, content: str, file: str = "d.jsonl", **fields: str) -> str:
    data = {"name": "Garden thumbs", "test_share": "0", **fields}
    answer = client.post(PAGES + "upload/", {**data, "file": SimpleUploadedFile(file, content.encode())}, follow=True)
    return answer.content.decode()


def test_an_upload_leads_to_the_set_with_its_counts_weights_and_first_rows(manager: Client) -> None:
    html = upload(manager, LINES)
    assert "The votes of “Garden thumbs” are stored." in html
    assert "怎么种" in html and "<strong>Water</strong>" in html
    assert '<td>Train</td><td class="num">9</td><td class="num">3</td><td class="num">12</td>' in html
    assert "Weight of undesirable responses: 2.25 to 3.00, the other one 1." in html
    assert f"recipe=kto&amp;feedback={FeedbackSet.objects.get().pk}" in html
    assert "Garden thumbs" in manager.get(PAGES).content.decode()


def test_votes_of_one_kind_are_kept_with_a_warning(manager: Client) -> None:
    only = "".join(line + "\n" for line in LINES.splitlines() if "true" in line)
    html = upload(manager, only)
    assert "nothing tells it what to avoid" in html and "Weights for KTO" not in html
    assert "nothing tells it what to prefer" in upload(manager, only.replace("true", "false"), name="Down")


def test_the_same_file_again_leads_to_the_same_set(manager: Client) -> None:
    upload(manager, LINES)
    assert "These are the votes of “Garden thumbs”" in upload(manager, LINES, name="Again")
    assert FeedbackSet.objects.count() == 1


def test_a_csv_is_known_by_its_name(manager: Client) -> None:
    upload(manager, "prompt,response,label\nWhy?,Because.,down\n", "d.CSV")
    assert FeedbackSet.objects.get().votes.get().desirable is False


def test_a_bad_file_changes_nothing_and_every_mistake_is_listed_with_its_line(manager: Client) -> None:
    html = upload(manager, LINES + '{"prompt": "silent", "label": true}\nnot json\n')
    assert "2 problems" in html
    assert '<td class="num">13</td>' in html and '<td class="num">14</td>' in html
    assert not FeedbackSet.objects.exists()


def test_a_name_that_is_taken_is_said_in_the_form(manager: Client, stored: FeedbackSet) -> None:
    html = upload(manager, LINES.splitlines()[0])
    assert "There is a set named “Garden thumbs” already" in html


def test_what_a_response_says_is_never_run(manager: Client) -> None:
    vote = {"prompt": "<script>1</script>", "completion": "<script>2</script>", "label": True}
    html = upload(manager, json.dumps(vote))
    assert "<script>1" not in html and "<script>2" not in html


def test_a_set_of_another_project_is_not_found(manager: Client, stored: FeedbackSet) -> None:
    other = Project.objects.create(slug="other", name="Other")
    elsewhere = import_feedback(project=other, name="Elsewhere", lines=StringIO(LINES), test_share=0)[0]
    assert elsewhere.folder == stored.folder
    assert manager.get(f"{PAGES}{elsewhere.pk}/").status_code == 404


def test_the_api_uploads_lists_and_keeps_strangers_out(
    project: Project, lead: User, stranger: User, reviewer: User
) -> None:
    client = APIClient()
    client.force_authenticate(lead)
    body = {"name": "Over the API", "content": LINES, "test_share": 0}
    first, again = (client.post(API, body, format="json") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    (listed,) = client.get(API).json()["results"]
    counts = {"train": 12, "test": 0, "train_desirable": 9, "test_desirable": 0}
    assert (listed["name"], listed["counts"]) == ("Over the API", counts)
    bad = client.post(API, {"name": "Bad", "content": '{"prompt": "a", "completion": "b"}'}, format="json")
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (400, "label")
    client.force_authenticate(reviewer)
    assert client.get(API).status_code == 403
    client.force_authenticate(stranger)
    assert client.get(API).status_code == 404
    assert client.post(API, body, format="json").status_code == 404


def test_the_command_reports_and_is_repeatable(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "thumbs.jsonl"
    file.write_text(LINES, encoding="utf-8")

    def run(*arguments: str) -> dict:
        out = StringIO()
        call_command("import_feedback", "garden", str(file), "--json", *arguments, stdout=out)
        return json.loads(out.getvalue())

    first, again = run("--by", "lead"), run()
    assert (first["name"], first["created"], again["created"]) == ("thumbs", True, False)
    assert first["train"] + first["test"] == 12
    assert FeedbackSet.objects.get().created_by.username == "lead"
    file.write_text('{"prompt": "Why?", "completion": "So.", "label": "maybe"}\n')
    with pytest.raises(CommandError, match="line 1, label"):
        run("--name", "bad")
