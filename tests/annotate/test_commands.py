"""The commands are thin: they print what the verbs return, and say what is wrong in one message."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotate.models import Project, User
from annotate.workflow.agreement_groups import BREAKDOWNS
from tests.factories import judge_all, make_comparisons

RAW = {"ties_excluded", "ties_as_class", "ties_half"}
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
    [pair] = report["cohen_kappa"]
    assert (pair["annotators"], pair["n"], pair["raw_agreement"]["value"]) == (["ann", "ben"], 4, 0.75)
    for family, names in (("raw_agreement", RAW), ("krippendorff_alpha", {"nominal", "ordinal"})):
        assert set(report[family]) == names
        assert all({"value", "low", "high", "n"} <= outcome.keys() for outcome in report[family].values())
    assert report["fleiss_kappa"]["value"] and report["gwet_ac1"]["value"]


@pytest.mark.parametrize("by", BREAKDOWNS)
def test_agreement_is_broken_down(judged: Project, by: str) -> None:
    groups = _json("agreement", "garden", "--by", by, "--bootstrap", 10)["groups"]
    expected = {"guideline": ["v1"], "criterion": ["overall"], "annotator": ["ann", "ben"]}
    names = [group["group"] for group in groups]
    assert names == expected.get(by, names) and groups
    assert sum(group["n_judgments"] for group in groups) == 8


def test_groups_are_parts_of_the_project(project: Project, tmp_path: Path) -> None:
    first = '{"annotator": "x", "choice": "a", "submitted_at": "2026-01-0%s"}'
    vote = f'"annotations": [{first}, {{"annotator": "y", "choice": "%s"}}]'
    text = (
        '{"id": "%s", "prompt": "P%s", "response_a": "A", "response_b": "B", "tags": %s, "language": "%s", '
        + vote
        + "}\n"
    )
    file = tmp_path / "pairs.jsonl"
    rows = [
        (n, n, '["x", "y"]' if n % 2 else "[]", "en" if n < 4 else "", 1 + 4 * (n % 2), "ab"[n % 2]) for n in range(8)
    ]
    file.write_text("".join(text % row for row in rows))
    call_command("import_comparisons", "garden", str(file))
    found = {
        by: {
            group["group"]: (group["n_items"], group["raw_agreement"]["ties_as_class"].get("value"))
            for group in _json("agreement", "garden", "--by", by, "--bootstrap", 10)["groups"]
        }
        for by in ("tag", "language", "round", "guideline", "week")
    }
    assert found["tag"] == {"x": (4, 0.0), "y": (4, 0.0), None: (4, 1.0)}
    assert found["language"] == {"en": (4, 0.5), None: (4, 0.5)}
    assert found["round"] == found["guideline"] == {None: (8, 0.5)}
    assert {"2026-W01", "2026-W02"} < found["week"].keys() and len(found["week"]) == 3


def test_agreement_of_nothing_says_why_it_is_not_defined(project: Project, capsys: pytest.CaptureFixture) -> None:
    call_command("agreement", "garden")
    assert "not defined, because" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--by", "--user"])
def test_a_snapshot_is_recorded_under_the_account_that_is_named(judged: Project, ann: User, option: str) -> None:
    assert _json("snapshot", "garden", option, "ann")["created"]
    assert judged.snapshots.get().created_by == ann
    with pytest.raises(CommandError, match="nobody"):
        call_command("snapshot", "garden", option, "nobody")


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
