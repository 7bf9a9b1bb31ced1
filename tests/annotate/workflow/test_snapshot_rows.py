"""What a frozen row says beside the pair: votes, who judged, tags, language; ties in files of their own; the hash."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotate.models import Project, Prompt, Role, Snapshot, User
from annotate.workflow.export import export_lines
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.projects import create_project, set_member
from annotate.workflow.snapshot_rows import pseudonym
from annotate.workflow.snapshots import freeze, parquet_path
from tests.factories import judge_all, make_comparisons, make_user

pytestmark = pytest.mark.django_db
CAST = ("annabel", "benjamin", "cemal")
CHOICES = {
    "annabel": ["a", "a", "b", "tie", "a"],
    "benjamin": ["a", "tie", "b", "tie", "b"],
    "cemal": ["a", "a", "a", "b", "tie"],
}


def _judged(slug: str, lead: User, users: list[User]) -> Project:
    """Five comparisons with three votes each: 3-0-0, 2-1-0, 1-0-2, a tie (0-2-1), and a split of three."""
    project = create_project(slug=slug, name=slug, manager=lead, overlap=3, guideline="Help.", summary="First")
    make_comparisons(project, 5)
    Prompt.objects.filter(project=project, key="p0").update(tags=["garden", "short"], language="en")
    for user in users:
        set_member(project=project, user=user, role=Role.ANNOTATOR)
        mark_read(version=current_version(project), user=user)
        judge_all(project, user, CHOICES[user.first_name])
    return project


@pytest.fixture
def cast(db: None) -> list[User]:
    return [make_user(name, first_name=name) for name in CAST]


@pytest.fixture
def judged(lead: User, cast: list[User]) -> Project:
    return _judged("orchard", lead, cast)


def _rows(snapshot: Snapshot, name: str) -> dict[str, dict[str, Any]]:
    table = pq.read_table(Path(snapshot.folder) / f"{name}.parquet")
    return {row["id"]: row for row in table.to_pylist()}


def test_the_votes_are_told_from_the_side_of_the_chosen_response(judged: Project) -> None:
    rows = _rows(freeze(project=judged, test_share=0)[0], "train")
    votes = {key: [row[f"votes_{side}"] for side in ("chosen", "tie", "rejected")] for key, row in rows.items()}
    assert votes == {"c-p0": [3, 0, 0], "c-p1": [2, 1, 0], "c-p2": [2, 0, 1]}
    assert [rows[key]["strength"] for key in sorted(rows)] == pytest.approx([1, 2 / 3, 1 / 3])
    assert all(row["n_votes"] == 3 for row in rows.values())


def test_tags_and_language_are_the_prompts(judged: Project) -> None:
    rows = _rows(freeze(project=judged, test_share=0)[0], "train")
    assert (rows["c-p0"]["tags"], rows["c-p0"]["language"]) == (["garden", "short"], "en")
    assert (rows["c-p1"]["tags"], rows["c-p1"]["language"]) == ([], "")


def test_annotators_are_the_same_in_every_row_and_nobody_is_named(judged: Project) -> None:
    snapshot, _created = freeze(project=judged, test_share=0)
    expected = sorted(pseudonym("orchard", name) for name in CAST)
    assert [row["annotators"] for row in _rows(snapshot, "train").values()] == [expected] * 3
    for file in Path(snapshot.folder).iterdir():
        text = json.dumps(pq.read_table(file).to_pylist())
        assert not any(name in text for name in CAST), file
    assert pseudonym("orchard", "annabel") != pseudonym("garden", "annabel")


def test_ties_have_a_file_of_their_own_where_there_are_any(judged: Project) -> None:
    snapshot, _created = freeze(project=judged, test_share=0)
    assert sorted(file.name for file in Path(snapshot.folder).iterdir()) == [
        "test.parquet",
        "ties_train.parquet",
        "train.parquet",
    ]
    (row,) = _rows(snapshot, "ties_train").values()
    assert row["id"] == "c-p3" and row["soft_label"] == 0.5 and row["strength"] == 0.0
    assert row["chosen"][0]["content"].startswith("First, water it."), "response A"
    assert [row[f"votes_{side}"] for side in ("chosen", "tie", "rejected")] == [0, 2, 1]
    assert (snapshot.counts["pairs"], snapshot.counts["ties"], snapshot.counts["splits"]) == (3, 1, 1)
    assert snapshot.items.pairs().count() == 3 and snapshot.items.get(kind="tie").comparison.key == "c-p3"
    schemas = [pq.read_schema(file) for file in Path(snapshot.folder).iterdir()]
    assert schemas[0].equals(schemas[1]) and schemas[1].equals(schemas[2])


def test_the_exports_hold_no_ties(judged: Project) -> None:
    snapshot, _created = freeze(project=judged, test_share=0)
    lines = [json.loads(line) for line in export_lines(snapshot=snapshot)]
    assert [list(line) for line in lines] == [["prompt", "chosen", "rejected"]] * 3
    assert pq.read_table(parquet_path(snapshot, "train")).num_rows == 3


def test_another_database_with_the_same_content_gives_the_same_hash(judged: Project, lead: User) -> None:
    """Everything is made anew under other ids, by other accounts of the same names, in another order."""
    before = freeze(project=judged)[0]
    files = {file.name: file.read_bytes() for file in Path(before.folder).iterdir()}
    shutil.rmtree(before.folder)
    Project.objects.filter(pk=judged.pk).update(slug="old", name="old")
    for name in CAST:
        User.objects.filter(username=name).update(username=f"old-{name}")
    users = [make_user(name, first_name=name) for name in reversed(CAST)]
    again, created = freeze(project=_judged("orchard", lead, users))
    assert created and again.pk != before.pk
    assert again.content_hash == before.content_hash
    assert {file.name: file.read_bytes() for file in Path(again.folder).iterdir()} == files


@pytest.mark.parametrize("changed", ["a tie's vote", "a vote that changes no majority", "a tag"])
def test_the_hash_covers_votes_ties_and_tags(judged: Project, changed: str) -> None:
    before = freeze(project=judged)[0]
    if changed == "a tag":
        Prompt.objects.filter(project=judged, key="p1").update(tags=["new"])
    else:
        key, choice = ("c-p3", "tie") if changed == "a tie's vote" else ("c-p1", "a")
        comparison = judged.comparisons.get(key=key)
        comparison.judgments.exclude(choice=choice).update(choice=choice)
    after = freeze(project=judged)[0]
    assert after.counts["pairs"] == before.counts["pairs"]
    assert after.content_hash != before.content_hash


def test_a_folder_frozen_before_there_were_these_columns_is_still_exported(judged: Project) -> None:
    snapshot, _created = freeze(project=judged, test_share=0)
    path = parquet_path(snapshot, "train")
    old = pq.read_table(path).select(["id", "prompt", "chosen", "rejected", "weight", "soft_label", "n_votes"])
    pq.write_table(pa.table(old), path)
    assert len(list(export_lines(snapshot=snapshot))) == 3
