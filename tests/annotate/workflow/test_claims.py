"""Many who claim at once, or while other verbs hold the comparisons: nobody is sent home while a slot is open.

SQLite has one writer at a time, so that most of this cannot come about there.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from annotate.models import Assignment, AssignmentState, Comparison, Project, User
from annotate.workflow import assignment
from annotate.workflow.assignment import expire_leases, lease_next
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.judging import submit_judgment
from tests.factories import make_comparisons, make_user, run_out, take
from tests.meanwhile import PATIENCE, meanwhile

pytestmark = pytest.mark.django_db(transaction=True)
ON_POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="what SQLite's one writer rules out")


@ON_POSTGRESQL
def test_a_card_that_was_answered_at_this_moment_is_not_leased_again(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    lease = take(project, ann)
    run_out()
    expire_leases()
    mine = Assignment.objects.filter(pk=lease.pk)
    with meanwhile("SKIP LOCKED", lambda: mine.update(state=AssignmentState.SURPLUS)):
        assert lease_next(project=project, annotator=ann) is None
    assert mine.get().state == AssignmentState.SURPLUS


def test_a_card_that_is_answered_in_another_tab_at_this_moment_is_not_shown_again(project: Project, ann: User) -> None:
    first, second = make_comparisons(project, 2)
    lease = take(project, ann)
    answer = {"assignment_id": lease.pk, "annotator": ann, "client_key": uuid.uuid4(), "side": "left"}
    with meanwhile('INNER JOIN "annotate_response"', lambda: submit_judgment(**answer)):
        assert take(project, ann).comparison == second
    lease.refresh_from_db()
    assert (lease.comparison, lease.state) == (first, AssignmentState.JUDGED)


@contextmanager
def _held_for_a_moment(comparison: Comparison) -> Iterator[None]:
    """By another verb, which is done half a second after a claim has come by."""
    passed, held = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Comparison.objects.select_for_update().get(pk=comparison.pk)
            held.set()
            passed.wait(10)
            time.sleep(PATIENCE)
        connection.close()

    def come_by(execute: Callable, sql: str, params: Any, many: bool, context: dict) -> Any:
        result = execute(sql, params, many, context)
        if "SKIP LOCKED" in str(sql):
            passed.set()
        return result

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert held.wait(10)
        with connection.execute_wrapper(come_by):
            yield
        holding.result(10)


@ON_POSTGRESQL
def test_nobody_is_sent_home_while_the_last_comparison_is_held(project: Project, ann: User, ben: User) -> None:
    """Another annotator's answer holds it for some milliseconds; its second slot is open all the same."""
    [comparison] = make_comparisons(project, 1)
    take(project, ben)
    with _held_for_a_moment(comparison):
        assert take(project, ann).slot == 1


@ON_POSTGRESQL
def test_a_lease_that_ran_out_is_waited_for_when_nothing_else_is_left(project: Project, ann: User, ben: User) -> None:
    Project.objects.update(overlap=1)
    project.refresh_from_db()
    [comparison] = make_comparisons(project, 1)
    take(project, ben)
    run_out()
    with _held_for_a_moment(comparison):
        assert take(project, ann).comparison == comparison


@ON_POSTGRESQL
def test_a_claim_that_waited_sees_what_was_done_meanwhile(project: Project, ann: User, ben: User) -> None:
    """The last slot goes to the one who held the row: nothing is left for the one who waited."""
    Project.objects.update(overlap=1)
    project.refresh_from_db()
    make_comparisons(project, 1)
    with meanwhile("SKIP LOCKED", lambda: lease_next(project=project, annotator=ann)) as other:
        assert take(project, ben).annotator == ben
    assert other[0].result() is None


def _on_its_own_connection(verb: Callable[[], Any]) -> Any:
    try:
        return verb()
    finally:
        connection.close()


@ON_POSTGRESQL
def test_everybody_gets_a_card_after_a_verb_that_held_all_of_them(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They all have waited for the first in the queue: one gets that, and the others the next ones. With the attempts
    as they are it took sixty people to come too late so often."""
    monkeypatch.setattr(assignment, "CLAIM_ATTEMPTS", 3)
    Project.objects.update(overlap=1)
    project.refresh_from_db()
    crowd = [make_user(f"crowd{number}") for number in range(16)]
    for person in crowd:
        mark_read(version=current_version(project), user=person)
    make_comparisons(project, len(crowd))

    def claim(person: User) -> Assignment | None:
        return _on_its_own_connection(lambda: lease_next(project=project, annotator=person))

    with ThreadPoolExecutor(len(crowd)) as pool:
        with transaction.atomic():
            list(Comparison.objects.select_for_update())
            claims = [pool.submit(claim, person) for person in crowd]
            time.sleep(4 * PATIENCE)
        leases = [each.result(60) for each in claims]
    assert len({lease.comparison_id for lease in leases if lease}) == len(crowd)


@ON_POSTGRESQL
def test_a_slot_that_was_freed_while_a_claim_looked_for_leases_to_free_is_claimed(
    project: Project, ann: User, ben: User
) -> None:
    """By another claim, or the periodic task, which is done between two looks of this one."""
    Project.objects.update(overlap=1)
    project.refresh_from_db()
    make_comparisons(project, 1)
    take(project, ben)
    run_out()
    begun, passed = threading.Event(), threading.Event()

    def free() -> None:
        with transaction.atomic():
            expire_leases()
            begun.set()
            assert passed.wait(10)

    def come_by(execute: Callable, sql: str, params: Any, many: bool, context: dict) -> Any:
        result = execute(sql, params, many, context)
        if "SKIP LOCKED" in str(sql) and "annotate_assignment" in str(sql) and "expires_at" in str(sql):
            passed.set()
            freeing.result(10)
        return result

    with ThreadPoolExecutor(1) as pool:
        freeing = pool.submit(_on_its_own_connection, free)
        assert begun.wait(10)
        with connection.execute_wrapper(come_by):
            assert take(project, ann).slot == 0
