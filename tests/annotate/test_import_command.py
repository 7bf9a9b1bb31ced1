"""`import_comparisons`: published files come out with their published numbers; several files, a project on the way."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotate.models import Project
from tests.annotate.statistics.published import DATA, entry

pytestmark = pytest.mark.django_db
LINE = '{"id": "%s", "prompt": "Why?", "response_a": "A", "response_b": "B", "annotations": %s}\n'
VOTE = '[{"annotator": "w1", "choice": "a"}]'


def _json(*arguments: object) -> dict[str, Any]:
    out = StringIO()
    call_command(*map(str, arguments), "--json", stdout=out)
    return json.loads(out.getvalue())


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["comparisons_convarg", "comparisons_mqm_zhen"])
def test_a_published_file_has_its_published_agreement(name: str) -> None:
    published = entry(name)
    expected = published["recomputed"]
    brought = _json("import_comparisons", "published", DATA / published["file"], "--create")
    assert (brought["comparisons"], brought["annotators"]) == (expected["rows"], expected["annotators"])
    assert _json("import_comparisons", "published", DATA / published["file"])["unchanged"] == expected["rows"]
    report = _json("agreement", "published", "--bootstrap", 20)
    assert (report["n_items"], report["n_judgments"]) == (expected["rows"], expected["annotations"])
    found = {
        "alpha_nominal": report["krippendorff_alpha"]["nominal"]["value"],
        "alpha_ordinal_a_tie_b": report["krippendorff_alpha"]["ordinal"]["value"],
        "mean_pairwise_agreement": report["raw_agreement"]["ties_as_class"]["value"],
    }
    if "fleiss_kappa" in expected:
        found["fleiss_kappa"] = report["fleiss_kappa"]["value"]
    assert found == pytest.approx({key: expected[key] for key in found}, abs=published["tol"])


def test_a_project_is_created_on_demand_only(tmp_path: Path) -> None:
    file = _file(tmp_path, "a.jsonl", LINE % ("c1", VOTE))
    with pytest.raises(CommandError, match="There is no project"):
        call_command("import_comparisons", "fresh", str(file))
    assert _json("import_comparisons", "fresh", file, "--create")["judgments"] == 1
    assert _json("import_comparisons", "fresh", file, "--create")["judgments"] == 0
    with pytest.raises(CommandError, match="can be no project"):
        call_command("import_comparisons", "not a slug", str(file), "--create")


def test_a_bad_file_leaves_neither_a_project_nor_the_files_before_it(tmp_path: Path) -> None:
    good = _file(tmp_path, "good.jsonl", LINE % ("c1", VOTE))
    bad = _file(tmp_path, "bad.jsonl", LINE % ("c2", VOTE) + "nonsense\n")
    with pytest.raises(CommandError, match=r"bad\.jsonl: Nothing was imported[^\n]*\nline 2"):
        call_command("import_comparisons", "fresh", str(good), str(bad), "--create")
    assert not Project.objects.exists()


def test_several_files_are_summed(project: Project, tmp_path: Path) -> None:
    files = [_file(tmp_path, f"{n}.jsonl", LINE % (f"c{n}", VOTE)) for n in range(2)]
    brought = _json("import_comparisons", "garden", *files)
    assert (brought["comparisons"], brought["annotators"], brought["prompts"]) == (2, 1, 1)


def test_a_file_that_is_not_there_is_one_message(project: Project, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_comparisons", "garden", str(tmp_path / "none.jsonl"))
