"""Probes of a project: what a file may be, what a run is probed with, and what pages make of the figures."""

import json
from typing import Any

import pytest

from annotate.models import Project, User
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.exceptions import UploadRejected
from tests.training.workflow.products import finished
from training.models import Artifact, Run
from training.workflow import jobs, runs
from training.workflow.alignment_tax import COLUMNS, newest_probed, rows_of, tax_of
from training.workflow.exceptions import BadInput, NameTaken
from training.workflow.probes import SHIPPED, delete_probes, import_probes, shipped_probes
from training.workflow.probing import HELD_OUT, MOST_TEXTS, SHIPPED_TEXTS

pytestmark = pytest.mark.django_db
GOOD = {"question": "What do bees collect?", "choices": ["Sand", "Nectar"], "answer": 1, "tag": "nature"}


def lines(*rows: Any) -> list[str]:
    return [row if isinstance(row, str) else json.dumps(row) for row in rows]


@pytest.fixture
def base(project: Project) -> Artifact:
    return Artifact.objects.create(project=project, name="base", location="owner/base")


def probed(value: float | None, low: float, high: float) -> dict[str, Any]:
    share = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 80}
    change = {"value": value, "low": low, "high": high, "n": 80}
    if value is None:
        words = {"template": "Only %(n)s probe(s): at least %(enough)s are needed to say anything."}
        words |= {"values": {"n": 3, "enough": 5}}
        said = words["template"] % words["values"]
        change = {"value": None, "low": None, "high": None, "n": 3, "reason": said, "words": words}
    return {"before": share, "after": share, "difference": change}


def tax(**changed: Any) -> dict[str, Any]:
    ppl = {"value": 9.0, "low": 8.0, "high": 10.0, "n": 24}
    ratio = {"value": 1.2, "low": 1.1, "high": 1.3, "n": 24}
    figures = {name: probed(-0.1, -0.2, -0.02) for name in ("sum", "per_token", "per_byte")} | changed
    tags = [{"name": "nature", **probed(0.1, -0.1, 0.3)}]
    return {
        "probes": [{"name": "Mine", "hash": "h", "left_out": 2, "by_tag": tags, **figures}],
        "documents": [
            {"name": HELD_OUT, "hash": "t", "left_out": 0, "before": ppl, "after": ppl, "ratio": ratio},
        ],
    }


def test_a_set_is_stored_once_whatever_its_name(project: Project, lead: User) -> None:
    stored, created = import_probes(project=project, name=" Bees ", lines=lines(GOOD, "", "\n"), actor=lead)
    assert created and (stored.name, stored.size, stored.created_by) == ("Bees", 1, lead)
    asked = [{"role": "user", "content": GOOD["question"]}]
    assert stored.rows == [{"messages": asked, "choices": ["Sand", "Nectar"], "answer": 1, "tag": "nature"}]
    assert import_probes(project=project, name="Again", lines=lines({**GOOD, "source": "me"})) == (stored, False)
    with pytest.raises(NameTaken, match="other questions"):
        import_probes(project=project, name="Bees", lines=lines({**GOOD, "answer": 0}))


WRONG = [
    ("{", "", "not JSON"),
    ("[]", "", "not an object"),
    ({**GOOD, "question": ""}, "question", "not empty"),
    ({"choices": ["a", "b"], "answer": 0}, "question", "a text or a list"),
    ({**GOOD, "question": [{"role": "assistant", "content": "x"}]}, "question", "turn of the user"),
    ({**GOOD, "choices": ["a"]}, "choices", "2 to 20"),
    ({**GOOD, "choices": "ab"}, "choices", "2 to 20"),
    ({**GOOD, "choices": ["a", " "]}, "choices", "not empty"),
    ({**GOOD, "choices": ["a", "a"]}, "choices", "the same"),
    ({**GOOD, "answer": 2}, "answer", "from 0 to 1"),
    ({**GOOD, "answer": -1}, "answer", "from 0 to 1"),
    ({**GOOD, "answer": True}, "answer", "from 0 to 1"),
    ({**GOOD, "answer": "B"}, "answer", "from 0 to 1"),
    ({**GOOD, "tag": 3}, "tag", "at most 60"),
    ({**GOOD, "tag": "x\u0000"}, "", "NUL"),
    (GOOD, "question", "line 1"),
]


def test_every_mistake_is_named_with_its_line_and_nothing_is_stored(project: Project) -> None:
    with pytest.raises(UploadRejected) as caught:
        import_probes(project=project, name="Bees", lines=lines(GOOD, *(row for row, _field, _said in WRONG)))
    assert caught.value.total == len(WRONG)
    for number, (error, (_row, field, said)) in enumerate(zip(caught.value.errors, WRONG, strict=True), start=2):
        assert (error.line, error.field) == (number, field) and said in error.message, error
    assert not project.probe_sets.exists()


@pytest.mark.parametrize("name", ["", " ", "x" * 121, SHIPPED])
def test_a_name_that_results_could_not_carry_is_refused(project: Project, name: str) -> None:
    with pytest.raises(BadInput, match="needs a name"):
        import_probes(project=project, name=name, lines=lines(GOOD))


def test_an_empty_file_and_too_large_a_set_are_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UploadRejected) as caught:
        import_probes(project=project, name="None", lines=["\n"])
    assert "There is no question" in caught.value.errors[0].message
    monkeypatch.setattr("training.workflow.probes.MOST_QUESTIONS", 1)
    with pytest.raises(BadInput, match="2 questions; a set may have 1"):
        import_probes(project=project, name="Many", lines=lines(GOOD, {**GOOD, "question": "And wasps?"}))


def test_the_shipped_set_is_whole_and_balanced() -> None:
    shipped = shipped_probes()
    assert len(shipped.rows) == 84 and len({row["tag"] for row in shipped.rows}) == 8
    places = [sum(row["answer"] == place for row in shipped.rows) for place in range(4)]
    assert sum(places) == 84 and min(places) > 15
    assert any("\u4e00" <= row["messages"][-1]["content"][0] <= "\u9fff" for row in shipped.rows)


def written(run: Run) -> dict[str, Any]:
    folder = jobs.prepare(run)
    job = json.loads((folder / "job.json").read_text())
    return json.loads((folder / "probes.json").read_text()) if job["probes"] else {}


def test_a_policy_is_probed_with_all_sets_and_held_out_demonstrations(project: Project, base: Artifact) -> None:
    stored, _created = import_probes(project=project, name="Bees", lines=lines(GOOD))
    mine = [f'{{"prompt": "How {n}?", "response": "So."}}' for n in range(20)]
    demonstrations = import_demonstrations(project=project, name="D", lines=mine, test_share=0.5).set
    run = runs.create_run(project, "dpo", {}, "policy", model=base)
    found = written(run)
    assert [one["name"] for one in found["probes"]] == [SHIPPED, "Bees"]
    assert found["probes"][1]["rows"] == stored.rows and found["probes"][1]["hash"] == stored.content_hash
    assert [one["name"] for one in found["documents"]] == [SHIPPED_TEXTS, HELD_OUT]
    held_out = set(demonstrations.demonstrations.filter(split="test").values_list("messages__0__content", flat=True))
    assert {row["messages"][0]["content"] for row in found["documents"][1]["rows"]} == held_out
    assert len(held_out) <= MOST_TEXTS
    delete_probes(stored)
    assert [one["name"] for one in written(run)["probes"]] == [SHIPPED]


@pytest.mark.parametrize("recipe", ["reward", "sample", "merge"])
def test_what_makes_no_policy_is_not_probed(project: Project, base: Artifact, recipe: str) -> None:
    run = runs.create_run(project, recipe, {}, "other", model=base)
    assert written(run) == {}


def test_figures_become_rows_with_a_verdict(project: Project, base: Artifact) -> None:
    artifact = finished(project, base, metrics={"tax": tax(sum=probed(None, 0, 0))})
    probes, texts = tax_of(artifact)
    assert [row.verdict for row in probes.rows] == ["", "worse", "worse"] and probes.left_out == 2
    assert probes.rows[0].change.note == "Only 3 probe(s): at least 5 are needed to say anything."
    assert [row.verdict for row in probes.tags] == ["unclear"]
    assert texts.name == "Held-out demonstrations" and texts.rows[0].verdict == "worse"
    found = list(rows_of([artifact.run]))
    assert [set(row) for row in found] == [set(COLUMNS)] * 5
    assert (found[1]["change"], found[1]["change_low"], found[4]["change"]) == (-0.1, -0.2, 1.2)


def test_the_newest_probed_run_is_found_and_others_have_no_rows(project: Project, base: Artifact) -> None:
    assert newest_probed(project.runs) is None
    first = finished(project, base, metrics={"tax": tax()}, name="first")
    later = finished(project, base, name="later")
    assert newest_probed(project.runs) == first.run and list(rows_of([later.run])) == []
