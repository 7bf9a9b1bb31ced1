"""The commands are thin: they print what the verbs return, and say what is wrong in one message."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotate.models import Project, User
from tests.factories import judge_all, make_comparisons

pytestmark = pytest.mark.django_db


def _json(*arguments: object) -> dict:
    out = StringIO()
    call_command(*map(str, arguments), "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def judged(project: Project, ann: User, ben: User) -> Project:
    make_comparisons(project, 4)
    judge_all(project, ann, ["a", "b", "a", "tie"])
    judge_all(project, ben, ["a", "b", "b", "tie"])
    return project


def test_import_prompts_reports_and_is_repeatable(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "Why?"}\n{"prompt": "How?"}\n')
    assert _json("import_prompts", "garden", file) == {"created": 2, "unchanged": 0}
    assert _json("import_prompts", "garden", file) == {"created": 0, "unchanged": 2}


def test_import_prompts_names_the_bad_line(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "Why?"}\nnonsense\n')
    with pytest.raises(CommandError, match="line 2"):
        call_command("import_prompts", "garden", str(file))
    assert project.prompts.count() == 0


def test_a_file_in_another_encoding_is_one_message(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes('{"prompt": "Grüße"}'.encode("latin-1"))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_prompts", "garden", str(file))


def test_an_unknown_project_lists_the_known_ones(project: Project) -> None:
    with pytest.raises(CommandError, match="garden"):
        call_command("agreement", "nowhere")


def test_agreement_prints_the_coefficients(judged: Project) -> None:
    report = _json("agreement", "garden")
    assert (report["n_items"], report["n_judgments"], report["n_annotators"]) == (4, 8, 2)
    assert report["raw_agreement"]["ties_as_class"]["value"] == 0.75
    assert report["annotator_pairs"][0]["annotators"] == ["ann", "ben"]


def test_agreement_of_nothing_says_why_it_is_not_defined(project: Project, capsys: pytest.CaptureFixture) -> None:
    call_command("agreement", "garden")
    assert "not defined, because" in capsys.readouterr().out


def test_snapshot_and_export_give_what_datasets_loads(judged: Project, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    assert _json("snapshot", "garden", "--aggregation", "majority")["counts"]["pairs"] == 2
    output = tmp_path / "pairs.jsonl"
    assert _json("export", "garden", "--format", "trl", "--output", output)["pairs"] == 2
    loaded = datasets.load_dataset("json", data_files=str(output), cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded.column_names == ["prompt", "chosen", "rejected"]
    assert loaded[0]["chosen"][0]["role"] == "assistant"


def test_export_never_overwrites(judged: Project, tmp_path: Path) -> None:
    output = tmp_path / "pairs.jsonl"
    output.write_text("mine")
    with pytest.raises(CommandError, match="exists already"):
        call_command("export", "garden", "--output", str(output))
    assert output.read_text() == "mine"


def test_snapshot_of_nothing_is_refused(project: Project) -> None:
    with pytest.raises(CommandError, match="nothing to freeze"):
        call_command("snapshot", "garden")
