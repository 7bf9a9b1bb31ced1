"""Snapshots with adjudication first: a final word is certain, bad items are left out, the rest goes by its votes."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from annotate.models import Aggregation, Comparison, Project, Snapshot, User
from annotate.workflow.guidelines import current_version, mark_read, publish, save_draft
from annotate.workflow.judging import undo_last
from annotate.workflow.snapshots import freeze, select
from tests.annotate.workflow.test_adjudication import decide
from tests.factories import judge_all, make_comparisons, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def judged(project: Project, reviewer: User) -> list[Comparison]:
    """Votes of three: a a b, a b tie, b b b, a a tie, a a a, b b a."""
    project.overlap = 3
    project.save()
    made = make_comparisons(project, 6)
    answers = {"one": "aabaab", "two": "abbaab", "three": ["b", "tie", "b", "tie", "a", "a"]}
    for name, choices in answers.items():
        user = make_user(name)
        project.memberships.create(user=user)
        judge_all(project, user, list(choices))
    return made


@pytest.fixture
def adjudicated(judged: list[Comparison], reviewer: User) -> list[Comparison]:
    """c0: the minority's b; c1: the split's a; c2: bad; c3: a tie."""
    for comparison, verdict in zip(judged, ("b", "a", "bad", "tie"), strict=False):
        decide(comparison, reviewer, verdict, reason="broken")
    return judged


def _rows(snapshot: Snapshot, name: str = "train") -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(Path(snapshot.folder) / f"{name}.parquet").to_pylist()}


def test_final_words_decide_and_the_votes_decide_the_rest(project: Project, adjudicated: list[Comparison]) -> None:
    snapshot, _created = freeze(project=project, test_share=0, adjudicated_first=True)
    rows = _rows(snapshot)
    assert {key: row["adjudicated"] for key, row in rows.items()} == {
        "c-p0": True, "c-p1": True, "c-p4": False, "c-p5": False,
    }  # fmt: skip
    assert rows["c-p0"]["chosen"][0]["content"].startswith("It grows"), "the final word is b, two of three say a"
    for key in ("c-p0", "c-p1"):
        assert (rows[key]["soft_label"], rows[key]["weight"], rows[key]["strength"]) == (1, 1, 1)
    assert [rows["c-p0"][name] for name in ("votes_chosen", "votes_tie", "votes_rejected")] == [1, 0, 2]
    assert rows["c-p5"]["soft_label"] == pytest.approx(2 / 3)
    tie = _rows(snapshot, "ties_train")["c-p3"]
    assert (tie["adjudicated"], tie["soft_label"]) == (True, 0.5)
    counts = snapshot.counts
    assert (counts["adjudicated"], counts["bad"], counts["ties"], counts["splits"]) == (3, 1, 1, 0)
    assert (counts["comparisons"], counts["pairs"], counts["judgments"]) == (6, 4, 15)


def test_a_row_knows_the_word_that_decided_it(project: Project, adjudicated: list[Comparison]) -> None:
    snapshot, _created = freeze(project=project, adjudicated_first=True)
    found = dict(snapshot.items.values_list("comparison__key", "adjudication__verdict"))
    assert found == {"c-p0": "b", "c-p1": "a", "c-p3": "tie", "c-p4": None, "c-p5": None}
    assert "Adjudicated first, then Majority" in snapshot.rule


@pytest.mark.parametrize("aggregation", Aggregation.values)
def test_it_goes_before_every_aggregation(project: Project, adjudicated: list[Comparison], aggregation: str) -> None:
    selection = select(project=project, aggregation=aggregation, adjudicated_first=True)
    labels = {row.comparison.key: (row.a_wins, row.soft_label) for row in selection.rows if row.adjudication}
    assert labels == {"c-p0": (False, 1.0), "c-p1": (True, 1.0)}
    assert [row.comparison.key for row in selection.ties if row.adjudication] == ["c-p3"]
    assert "c-p2" not in {row.comparison.key for row in selection.rows}


def test_without_it_nothing_has_changed(project: Project, judged: list[Comparison], reviewer: User) -> None:
    before, _created = freeze(project=project)
    decide(judged[0], reviewer, "b")
    again, created = freeze(project=project, adjudicated_first=False)
    assert (again, created) == (before, False)
    assert "adjudicated" not in next(iter(_rows(before).values()), _rows(before, "test").values())
    assert "adjudicated_first" not in before.query and "bad" not in before.counts


def test_the_hash_follows_the_words_and_not_their_revisions(
    project: Project, adjudicated: list[Comparison], reviewer: User
) -> None:
    first, _created = freeze(project=project, adjudicated_first=True)
    assert freeze(project=project, adjudicated_first=True) == (first, False)
    decide(adjudicated[0], reviewer, "a")
    second, created = freeze(project=project, adjudicated_first=True)
    assert created and second.content_hash != first.content_hash
    decide(adjudicated[0], reviewer, "b", note="After all.")
    assert freeze(project=project, adjudicated_first=True) == (first, False), "the same words are the same data"
    decide(adjudicated[0], reviewer, "withdrawn")
    assert select(project=project, adjudicated_first=True).counts["adjudicated"] == 2


def test_a_word_outlives_the_votes_it_was_spoken_on(project: Project, reviewer: User, ann: User) -> None:
    [one] = make_comparisons(project, 1)
    judge_all(project, ann, ["a"])
    decide(one, reviewer, "b")
    undo_last(project=project, annotator=ann)
    snapshot, _created = freeze(project=project, test_share=0, adjudicated_first=True)
    row = _rows(snapshot)["c-p0"]
    assert (row["n_votes"], row["annotators"], row["soft_label"]) == (0, [], 1)


def test_the_guideline_of_a_word_is_one_of_the_snapshots(
    project: Project, judged: list[Comparison], reviewer: User, lead: User
) -> None:
    save_draft(project=project, body="Be brief.", actor=lead)
    publish(project=project, summary="Brief", actor=lead)
    mark_read(version=current_version(project), user=reviewer)
    decide(judged[0], reviewer, "b")
    assert freeze(project=project, adjudicated_first=False)[0].guideline_versions == [1]
    assert freeze(project=project, adjudicated_first=True)[0].guideline_versions == [1, 2]


def test_page_command_and_api_ask_for_it(project: Project, adjudicated: list[Comparison], lead: User) -> None:
    page = Client()
    page.force_login(lead)
    html = page.get("/p/garden/snapshots/new/").content.decode()
    assert 'value="1" selected' in html and "Bad items left out" in html
    page.post(
        "/p/garden/snapshots/new/", {"aggregation": "majority", "test_share": 0, "seed": 0, "adjudicated_first": 1}
    )
    api = APIClient()
    api.force_authenticate(lead)
    given = {"aggregation": "majority", "test_share": 0, "adjudicated_first": True}
    assert api.post("/api/v1/projects/garden/snapshots/", given, format="json").status_code == 200, "the same snapshot"
    call_command("snapshot", "garden", "--adjudicated-first", "--test-share", "0")
    assert Snapshot.objects.get().query == {
        "aggregation": "majority",
        "test_share": 0,
        "seed": 0,
        "adjudicated_first": True,
    }
    shown = page.get("/p/garden/snapshots/1/").content.decode()
    assert "Adjudicated first, then Majority" in shown
    assert "final word" in page.get(f"/p/garden/comparisons/{adjudicated[0].pk}/").content.decode()
    exported = b"".join(page.get("/p/garden/snapshots/1/all.jsonl").streaming_content).decode()
    assert {"prompt", "chosen", "rejected"} == set(json.loads(exported.splitlines()[0]))


def test_every_door_puts_final_words_first_once_there_are_any(
    client: Client, project: Project, judged: list[Comparison], lead: User, reviewer: User, tmp_path: Path
) -> None:
    snapshots = "/api/v1/projects/garden/snapshots/"
    api = APIClient()
    api.force_authenticate(lead)

    def by_each_door(name: str) -> list[bool]:
        call_command("snapshot", "garden")
        call_command("export", "garden", "--output", str(tmp_path / name))
        api.post(snapshots, {}, format="json")
        client.force_login(lead)
        shown = client.get("/p/garden/snapshots/new/").context["form"].cleaned_data["adjudicated_first"]
        return [shown, *(snapshot.adjudicated_first for snapshot in Snapshot.objects.all())]

    assert by_each_door("before.jsonl") == [False, False], "one state, one snapshot"
    decide(judged[0], reviewer, "b")
    assert sorted(by_each_door("after.jsonl")) == [False, True, True]
    call_command("snapshot", "garden", "--no-adjudicated-first")
    api.post(snapshots, {"adjudicated_first": False}, format="json")
    assert Snapshot.objects.count() == 2, "asked for by name, it is the one of before"
