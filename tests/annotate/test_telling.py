"""Errors of commands: a line for people, and with `--json` one object with the fields of the API's errors."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core import management
from django.core.management import CommandError, call_command
from django.core.management.base import connections
from django.test import Client

from annotate.models import Project, User

pytestmark = pytest.mark.django_db
PROMPTS = "/api/v1/projects/garden/prompts/"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """As typed in a shell: the exit code, and what stands on standard output."""
    monkeypatch.setattr(connections, "close_all", lambda: None)  # the test's own

    def typed(name: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        command = management.load_command_class(management.get_commands()[name], name)
        with pytest.raises(SystemExit) as ended:
            command.run_from_argv(["manage.py", name, *arguments])
        return ended.value.code, json.loads(capsys.readouterr().out)

    return typed


@pytest.fixture
def wrong_lines(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": ""}\nnothing\n')
    return path


def test_a_refused_file_is_told_as_over_the_api(
    client: Client, project: Project, lead: User, typed: Any, wrong_lines: Path
) -> None:
    code, told = typed("import_prompts", "garden", str(wrong_lines), "--json")
    client.force_login(lead)
    body = {"content": wrong_lines.read_text(), "format": "jsonl"}
    assert code == 1
    assert told["error"] == client.post(PROMPTS, body, content_type="application/json").json()
    assert [error["line"] for error in told["error"]["errors"]] == [1, 2]


def test_the_lines_at_fault_stand_below_what_says_so(project: Project, wrong_lines: Path) -> None:
    with pytest.raises(CommandError) as caught:
        call_command("import_prompts", "garden", str(wrong_lines))
    first, *lines = str(caught.value).splitlines()
    assert first.endswith("Mend the lines named below and upload the file again.")
    assert [line.partition(",")[0].partition(":")[0] for line in lines] == ["line 1", "line 2"]


def test_an_unknown_project_and_a_wrong_command_line_are_told_too(project: Project, typed: Any) -> None:
    code, told = typed("agreement", "gardn", "--json")
    assert (code, told["error"]["code"]) == (1, "refused") and "garden" in told["error"]["detail"]
    code, told = typed("agreement", "garden", "--json", "--bootstrap")
    assert (code, told["error"]["code"]) == (2, "invalid")
    assert "--bootstrap" in told["error"]["detail"] and told["error"]["hint"].startswith("usage: ")


def test_without_json_nothing_stands_on_standard_output(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connections, "close_all", lambda: None)
    command = management.load_command_class("annotate", "agreement")
    with pytest.raises(SystemExit) as ended:
        command.run_from_argv(["manage.py", "agreement", "gardn"])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (1, "") and "CommandError: There is no project" in said.err


def test_what_cannot_be_chosen_is_answered_with_what_can(client: Client, project: Project, lead: User) -> None:
    client.force_login(lead)
    answer = client.post(PROMPTS, {"content": "", "format": "xml"}, content_type="application/json").json()
    by_field = {error["field"]: error["message"] for error in answer["errors"]}
    assert by_field["format"].endswith("Choose one of: jsonl, csv.") and '"xml"' in by_field["format"]
    assert answer["hint"] and answer["total"] == len(answer["errors"])
