"""Verbs that meet on the same rows: none is ended by a deadlock, and none undoes what the other has done.

SQLite has one writer at a time, so that the one in between comes afterwards there.
"""

import io
import json
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from annotate.models import (
    Assignment,
    AssignmentState,
    Comparison,
    Judgment,
    Project,
    Role,
    User,
    Verdict,
)
from annotate.workflow.adjudication import adjudicate
from annotate.workflow.assignment import expire_leases, lease_next
from annotate.workflow.comparison_import import import_comparisons
from annotate.workflow.guidelines import mark_read, publish, save_draft
from annotate.workflow.intake import compare, import_prompts, open_batch, store_prompt, store_response
from annotate.workflow.judging import submit_judgment, undo_last
from annotate.workflow.projects import change_overlap, set_member
from annotate.workflow.snapshots import freeze
from tests.factories import judge, judge_all, make_comparisons, make_prompts, run_out, take
from tests.meanwhile import meanwhile

pytestmark = pytest.mark.django_db(transaction=True)
ON_POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="what SQLite's one writer rules out")
PAIRS = [{"id": f"c{i}", "prompt": f"Why {i}?", "response_a": "So.", "response_b": "Because."} for i in range(2)]


def _import(project: Project, votes: str = "") -> object:
    annotations = [{"annotator": name, "choice": "a"} for name in votes.split()]
    lines = "".join(json.dumps({**pair, "annotations": annotations}) + "\n" for pair in PAIRS)
    return import_comparisons(project=project, stream=io.BytesIO(lines.encode()), name="pairs.jsonl")


def test_a_late_answer_meets_the_same_card_in_another_tab(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    late = take(project, ann)
    run_out()
    expire_leases()
    with meanwhile('"annotate_assignment"', lambda: lease_next(project=project, annotator=ann)):
        stored = submit_judgment(assignment_id=late.pk, annotator=ann, client_key=uuid.uuid4(), side="left")
    assert Judgment.objects.get() == stored and not stored.is_surplus
    late.refresh_from_db()
    assert late.state == AssignmentState.JUDGED
    assert list(Comparison.objects.values_list("taken", "judged")) == [(1, 1)]


def test_an_answer_meets_the_end_of_its_lease(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    late = take(project, ann)
    run_out()
    answer = {"assignment_id": late.pk, "annotator": ann, "client_key": uuid.uuid4(), "side": "left"}
    with meanwhile('"annotate_assignment"', lambda: submit_judgment(**answer)):
        expire_leases()
    assert not Judgment.objects.get().is_surplus
    assert list(Comparison.objects.values_list("taken", "judged")) == [(1, 1)]


@ON_POSTGRESQL
def test_an_answer_locks_its_comparison_before_its_assignment(project: Project, ann: User) -> None:
    """In one statement, so nothing else could come in between and show it."""
    make_comparisons(project, 1)
    lease = take(project, ann)
    answer = {"assignment_id": lease.pk, "annotator": ann, "client_key": uuid.uuid4(), "side": "left"}
    with meanwhile('UPDATE "annotate_assignment"', lambda: submit_judgment(**answer)), transaction.atomic():
        Assignment.objects.update(expires_at=timezone.now())
        assert not Comparison.objects.select_for_update(skip_locked=True).exists()
    assert Judgment.objects.count() == 1


@pytest.mark.parametrize(
    "verb", [lambda project: change_overlap(project=project, overlap=3), lambda project: _import(project, "w1 w2")]
)
def test_leases_run_out_while_many_comparisons_change(
    project: Project, ann: User, ben: User, reviewer: User, verb: Callable[[Project], object]
) -> None:
    Project.objects.update(overlap=1)
    project.refresh_from_db()
    _import(project)
    # The lease on the first comparison is younger than the one on the second.
    for person in (ann, ben):
        take(project, person)
    Assignment.objects.filter(annotator=ann).update(expires_at=timezone.now() - timedelta(minutes=1))
    expire_leases()
    take(project, reviewer)
    # PostgreSQL comes upon rows in the order in which an indexed column of theirs was last written.
    project.comparisons.filter(key="c1").update(is_adjudicated=True)
    run_out()
    with meanwhile('UPDATE "annotate_comparison"', lambda: verb(project)):
        expire_leases()
    assert not Assignment.objects.leased().exists()
    assert all(row.taken == row.judged and row.overlap > 1 for row in project.comparisons.all())


def test_a_pair_that_is_stored_while_the_overlap_changes_gets_the_new_one(project: Project) -> None:
    [prompt] = make_prompts(project, 1)
    one, two = (store_response(prompt=prompt, text=text, source="m", key=text) for text in "xy")
    batch = open_batch(project=project, name="b")
    change = meanwhile('INSERT INTO "annotate_comparison"', lambda: change_overlap(project=project, overlap=3))
    with change, transaction.atomic():
        compare(batch=batch, prompt=prompt, response_a=one, response_b=two, key="k")
    assert project.comparisons.get().overlap == 3


@ON_POSTGRESQL
def test_a_snapshot_is_of_one_state(project: Project, lead: User, ann: User, ben: User) -> None:
    """On SQLite the judgment would wait until the snapshot is there."""
    make_comparisons(project, 2)
    judge_all(project, ann, ["a", "a"])
    save_draft(project=project, body="Prefer the shorter response.", actor=lead)
    mark_read(version=publish(project=project, summary="Shorter", actor=lead), user=ben)
    with meanwhile('FROM "annotate_judgment"', lambda: judge(project, ben, "b")):
        snapshot, _created = freeze(project=project)
    assert snapshot.guideline_versions == [1]
    assert (snapshot.counts["pairs"], snapshot.counts["judgments"]) == (2, 2)
    again, created = freeze(project=project)
    assert created and again.guideline_versions == [1, 2] and again.number == 2


@ON_POSTGRESQL
def test_an_answer_does_not_wait_for_what_refers_to_its_comparison(
    project: Project, ann: User, ben: User, reviewer: User
) -> None:
    """PostgreSQL looks at the end of a transaction whether all that its rows refer to is there, and holds it until then
    so: at the end of a snapshot it is every comparison."""
    make_comparisons(project, 2)
    judge_all(project, ann, ["a", "a"])

    def judge_and_claim() -> bool:
        judged = judge(project, ben, "b")
        word = {"verdict": Verdict.A, "votes_seen": True, "client_key": uuid.uuid4()}
        adjudicate(comparison=judged.comparison, adjudicator=reviewer, **word)
        return take(project, ben).pk and not committed

    committed: list[bool] = []
    with meanwhile("FOR KEY SHARE", judge_and_claim) as other:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT id FROM annotate_comparison ORDER BY id FOR KEY SHARE")
        committed.append(True)
    assert other[0].result(), "nobody has waited for it"


@ON_POSTGRESQL
def test_what_refers_to_a_project_does_not_wait_for_an_import(project: Project, stranger: User) -> None:
    """A new member, a run that is started: an import takes minutes, and a page seconds."""

    def add() -> bool:
        set_member(project=project, user=stranger, role=Role.ANNOTATOR)
        return not Comparison.objects.exists()

    with meanwhile('INSERT INTO "annotate_comparison"', add) as other:
        _import(project, "w1")
    assert other[0].result(), "nobody has waited for it"


def test_the_same_state_frozen_twice_at_once_is_one_snapshot(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    judge(project, ann, "a")
    with meanwhile('FROM "annotate_judgment"', lambda: freeze(project=project)) as other:
        mine = freeze(project=project)
    assert {mine[0], other[0].result()[0]} == {project.snapshots.get()}
    assert sorted([mine[1], other[0].result()[1]]) == [False, True]


def test_one_file_of_prompts_uploaded_twice_at_once_is_stored_once(project: Project) -> None:
    lines = [json.dumps({"prompt": f"Why {i}?"}) for i in range(3)]
    upload = {"project": project, "lines": lines}
    with meanwhile('FROM "annotate_prompt"', lambda: import_prompts(**upload)) as other:
        mine = import_prompts(**upload)
    assert sorted([mine.created, other[0].result().created]) == [0, 3]
    assert project.prompts.count() == 3


@pytest.mark.parametrize("mark", ['FROM "annotate_prompt"', 'INSERT INTO "annotate_prompt"'])
def test_a_prompt_of_a_file_is_stored_on_its_own_meanwhile(project: Project, mark: str) -> None:
    messages = [{"role": "user", "content": "Why?"}]

    def alone() -> object:
        return store_prompt(project=project, messages=messages, key="playground", tags=[])

    with meanwhile(mark, alone) as other:
        report = import_prompts(project=project, lines=[json.dumps({"messages": messages})])
    assert report.created == 1 and project.prompts.get() == other[0].result()
    with meanwhile(mark, lambda: import_prompts(project=project, lines=['{"prompt": "How?"}'])) as other:
        store_prompt(project=project, messages=[{"role": "user", "content": "How?"}], key="playground", tags=[])
    assert other[0].result().unchanged == 1 and project.prompts.count() == 2


@pytest.mark.parametrize("named", [True, False])
def test_the_last_answer_is_taken_back_twice_at_once(project: Project, ann: User, named: bool) -> None:
    make_comparisons(project, 2)
    first, last = judge(project, ann, "a"), judge(project, ann, "b")
    meant = {"assignment_id": last.assignment_id, "revision": last.revision} if named else {}

    def undo() -> Assignment:
        return undo_last(project=project, annotator=ann, **meant)

    with meanwhile('FROM "annotate_assignment"', undo) as other:
        assert undo() == last.assignment
    if named or connection.vendor == "postgresql":
        assert other[0].result() == last.assignment
        assert list(Judgment.objects.values_list("choice", "is_current")) == [("a", True), ("b", False), (None, True)]
        assert Judgment.objects.current().get() == first
    assert all(row.taken >= row.judged >= 0 for row in project.comparisons.all())
