"""The pages, the API and the command of demonstrations: upload, list, look; managers only."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from annotate.models import DemonstrationSet, Project, User
from annotate.workflow.demonstrations import import_demonstrations

PAGES = "/p/garden/demonstrations/"
API = "/api/v1/projects/garden/demonstrations/"
LINES = "".join(json.dumps({"prompt": f"怎么种 {i}？", "response": f"**Water** {i}."}) + "\n" for i in range(12))


@pytest.fixture
def manager(client: Client, lead: User, project: Project) -> Client:
    client.force_login(lead)
    return client


@pytest.fixture
def stored(project: Project) -> DemonstrationSet:
    return import_demonstrations(project=project, name="Garden answers", lines=StringIO(LINES))[0]


def upload(client: Client, content: str, file: str = "d.jsonl", **fields: str) -> str:
    data = {"name": "Garden answers", "test_share": "0.2", **fields}
    answer = client.post(PAGES + "upload/", {**data, "file": SimpleUploadedFile(file, content.encode())}, follow=True)
    return answer.content.decode()


def test_an_upload_leads_to_the_set_with_its_first_rows(manager: Client) -> None:
    html = upload(manager, LINES)
    assert "The set “Garden answers” is stored." in html
    assert "怎么种" in html and "<strong>Water</strong>" in html
    assert "Garden answers" in manager.get(PAGES).content.decode()


def test_an_upload_tells_the_forms_it_was_read_in(manager: Client, lead: User) -> None:
    conversation = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}
    lines = LINES + json.dumps(conversation) + "\n"
    assert "Read as: 1 × conversation (TRL); 12 × prompt and response." in upload(manager, lines)
    api = APIClient()
    api.force_authenticate(lead)
    answer = api.post(API, {"name": "Garden answers", "content": lines}, format="json")
    assert (answer.status_code, answer.json()["forms"]) == (200, {"prompt_response": 12, "conversation": 1})


def test_the_same_file_again_leads_to_the_same_set(manager: Client) -> None:
    upload(manager, LINES)
    assert "These are the demonstrations of “Garden answers”" in upload(manager, LINES, name="Again")
    assert DemonstrationSet.objects.count() == 1


def test_a_csv_is_known_by_its_name(manager: Client) -> None:
    upload(manager, "prompt,response\nWhy?,Because.\n", "d.CSV", test_share="0")
    assert DemonstrationSet.objects.get().demonstrations.get().response == "Because."


def test_a_bad_file_changes_nothing_and_every_mistake_is_listed_with_its_line(manager: Client) -> None:
    html = upload(manager, '{"prompt": "good", "response": "yes"}\n{"prompt": "silent"}\nnot json\n')
    assert "2 problems" in html
    assert '<td class="num">2</td>' in html and '<td class="num">3</td>' in html
    assert not DemonstrationSet.objects.exists()


def test_a_name_that_is_taken_is_said_in_the_form(manager: Client, stored: DemonstrationSet) -> None:
    html = upload(manager, '{"prompt": "Why?", "response": "Because."}\n', test_share="0")
    assert "There is a set named “Garden answers” already" in html
    assert DemonstrationSet.objects.count() == 1


def test_what_a_demonstration_says_is_never_run(manager: Client) -> None:
    html = upload(
        manager, json.dumps({"prompt": "<script>1</script>", "response": "<script>2</script>"}), test_share="0"
    )
    assert "<script>1" not in html and "<script>2" not in html


@pytest.mark.parametrize("address", ["", "upload/", "{id}/"])
def test_a_stranger_finds_nothing_and_a_reviewer_may_not(
    client: Client, stored: DemonstrationSet, stranger: User, reviewer: User, address: str
) -> None:
    address = PAGES + address.format(id=stored.pk)
    client.force_login(stranger)
    assert client.get(address).status_code == 404
    client.force_login(reviewer)
    assert client.get(address).status_code == 403


def test_a_set_of_another_project_is_not_found(manager: Client, stored: DemonstrationSet, lead: User) -> None:
    other = Project.objects.create(slug="other", name="Other")
    elsewhere = import_demonstrations(project=other, name="Elsewhere", lines=StringIO(LINES))[0]
    assert elsewhere.folder == stored.folder
    assert manager.get(f"{PAGES}{elsewhere.pk}/").status_code == 404


def test_the_api_uploads_lists_and_keeps_strangers_out(
    project: Project, lead: User, stranger: User, reviewer: User
) -> None:
    client = APIClient()
    client.force_authenticate(lead)
    body = {"name": "Over the API", "content": LINES}
    first, again = (client.post(API, body, format="json") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    listed = client.get(API).json()["results"]
    assert [(row["name"], sum(row["counts"].values())) for row in listed] == [("Over the API", 12)]
    bad = client.post(API, {"name": "Bad", "content": "nonsense"}, format="json")
    assert (bad.status_code, bad.json()["errors"][0]["line"]) == (400, 1)
    client.force_authenticate(reviewer)
    assert client.get(API).status_code == 403
    client.force_authenticate(stranger)
    assert client.get(API).status_code == 404
    assert client.post(API, body, format="json").status_code == 404


def test_the_command_reports_and_is_repeatable(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(LINES, encoding="utf-8")

    def run(*arguments: str) -> dict:
        out = StringIO()
        call_command("import_demonstrations", "garden", str(file), "--json", *arguments, stdout=out)
        return json.loads(out.getvalue())

    first, again = run("--by", "lead"), run()
    assert (first["name"], first["created"], again["created"]) == ("answers", True, False)
    assert first["forms"] == {"prompt_response": 12}
    assert first["train"] + first["test"] == 12
    assert DemonstrationSet.objects.get().created_by.username == "lead"
    file.write_text('{"prompt": "Why?"}\n')
    with pytest.raises(CommandError, match="line 1, response"):
        run("--name", "bad")
