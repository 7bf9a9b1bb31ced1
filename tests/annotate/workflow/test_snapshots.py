"""Frozen datasets: deterministic, split by prompt, ties and splits counted."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from annotate.models import Judgment, Project, User
from annotate.workflow.exceptions import EmptySnapshot, WorkflowError
from annotate.workflow.export import export_lines
from annotate.workflow.snapshots import freeze, parquet_path, select, split_of
from tests.factories import judge_all, make_comparisons

pytestmark = pytest.mark.django_db


@pytest.fixture
def judged(project: Project, ann: User, ben: User) -> Project:
    """Two agreed on A, one on B, one on a tie, and one pair split them."""
    make_comparisons(project, 5)
    judge_all(project, ann, ["a", "a", "b", "tie", "a"])
    judge_all(project, ben, ["a", "a", "b", "tie", "b"])
    return project


def test_the_same_state_gives_the_same_snapshot(judged: Project, lead: User) -> None:
    first, created = freeze(project=judged, actor=lead)
    again, created_again = freeze(project=judged, actor=lead)
    assert created and not created_again
    assert first == again


def test_ties_and_splits_are_dropped_and_counted(judged: Project) -> None:
    snapshot, _ = freeze(project=judged)
    expected = {"comparisons": 5, "pairs": 3, "ties": 1, "splits": 1, "won_by_a": 2, "won_by_b": 1, "judgments": 10}
    assert {name: snapshot.counts[name] for name in expected} == expected
    assert snapshot.counts["train"] + snapshot.counts["test"] == 3


def test_a_further_judgment_changes_the_hash(judged: Project, ann: User, lead: User) -> None:
    before, _ = freeze(project=judged)
    make_comparisons(judged, 1, start=10)
    judge_all(judged, ann, ["a"])
    after, created = freeze(project=judged)
    assert created and after.content_hash != before.content_hash and after.number == 2


def test_the_hash_does_not_depend_on_the_database_ids(judged: Project, project: Project) -> None:
    selection = select(project=judged)
    assert all("pk" not in json.dumps(row.canonical()) for row in selection.rows)
    keys = [row.canonical()["id"] for row in selection.rows]
    assert keys == sorted(keys)


def test_the_split_is_by_prompt_and_stable() -> None:
    sides = {f"{i:064x}": split_of(f"{i:064x}", 0.2, seed=0) for i in range(2000)}
    share = sum(side == "test" for side in sides.values()) / len(sides)
    assert 0.17 < share < 0.23
    assert all(split_of(prompt, 0.2, seed=0) == side for prompt, side in sides.items())
    assert any(split_of(prompt, 0.2, seed=1) != side for prompt, side in sides.items())


def test_rows_lead_back_to_their_judgments(judged: Project) -> None:
    snapshot, _ = freeze(project=judged)
    assert sorted(snapshot.items.values_list("kind", flat=True)) == ["pair", "pair", "pair", "tie"]
    for item in snapshot.items.all():
        votes = Judgment.objects.filter(pk__in=item.judgments)
        assert votes.count() == 2 and (votes[0].choice == "tie") == (item.kind == "tie")
        winner = item.comparison.response_b if votes[0].choice == "b" else item.comparison.response_a
        assert item.chosen == winner


def test_the_export_is_trls_conversational_format(judged: Project) -> None:
    snapshot, _ = freeze(project=judged)
    rows = [json.loads(line) for line in export_lines(snapshot=snapshot)]
    assert len(rows) == 3
    for row in rows:
        assert list(row) == ["prompt", "chosen", "rejected"]
        assert row["prompt"][-1]["role"] == "user"
        assert row["chosen"][0]["role"] == row["rejected"][0]["role"] == "assistant"


def test_parquet_carries_votes_and_soft_labels(judged: Project) -> None:
    snapshot, _ = freeze(project=judged, test_share=0)
    table = pq.read_table(parquet_path(snapshot, "train"))
    assert table.num_rows == 3
    assert set(table["soft_label"].to_pylist()) == {1.0}
    assert set(table["n_votes"].to_pylist()) == {2}


def test_nothing_judged_is_an_empty_snapshot(project: Project) -> None:
    make_comparisons(project, 2)
    with pytest.raises(EmptySnapshot):
        freeze(project=project)
    assert project.snapshots.count() == 0


@pytest.mark.parametrize("share", [-0.1, 0.95])
def test_a_senseless_test_share_is_refused(judged: Project, share: float) -> None:
    with pytest.raises(WorkflowError, match="test share"):
        freeze(project=judged, test_share=share)


def test_a_failed_write_leaves_nothing(judged: Project, settings: object, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    settings.SNAPSHOTS_DIR = blocked
    with pytest.raises(OSError):
        freeze(project=judged)
    assert judged.snapshots.count() == 0
