"""Judging: submit, skip, undo. Idempotent by client key; nothing acknowledged is ever lost or doubled."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import (
    Assignment,
    AssignmentState,
    Choice,
    Comparison,
    Judgment,
    Project,
    SkipReason,
    User,
    votes_column,
)
from annotate.workflow.assignment import free_slot, lease_until, take_slot
from annotate.workflow.exceptions import AlreadyAnswered, NothingToUndo, NotYourAssignment, WrongDegree
from annotate.workflow.guidelines import last_read_version

ANSWERED = (AssignmentState.JUDGED, AssignmentState.SURPLUS, AssignmentState.SKIPPED)


def choice_of_side(side: str, *, flipped: bool) -> Choice:
    """The screen's "left", "tie" or "right" in the comparison's own terms."""
    if side == "tie":
        return Choice.TIE
    return Choice.A if (side == "left") != flipped else Choice.B


def side_of_choice(choice: str | None, *, flipped: bool) -> str:
    """The other way round; nothing for no choice."""
    if choice is None or choice == Choice.TIE:
        return "" if choice is None else "tie"
    return "left" if (choice == Choice.A) != flipped else "right"


def submit_judgment(
    *,
    assignment_id: int,
    annotator: User,
    client_key: UUID,
    choice: Choice | None = None,
    side: str = "",
    degree: int | None = None,
    note: str = "",
    seconds: float | None = None,
    project: Project | None = None,
) -> Judgment:
    """Store what the annotator said, as `choice` or in the screen's terms as `side`; a side with one of the degrees
    that the card asks for, if it asks for any.

    The same client key again returns the judgment stored before. A judgment whose lease ran out is counted while its
    slot is still free, otherwise kept as surplus.

    Raises:
        NotYourAssignment: unknown, another person's, or not of `project`.
        AlreadyAnswered: judged or skipped before, under another client key.
        WrongDegree: not what the card asks for.
    """
    try:
        return _submit(assignment_id, annotator, client_key, choice, side, degree, note, seconds, project)
    except IntegrityError:
        # The client key is UNIQUE: it has been stored with another card. Anything else is no answer to the browser.
        if not Judgment.objects.filter(client_key=client_key).exists():
            raise
        return _stored(client_key, annotator)


@transaction.atomic
def _submit(
    assignment_id: int,
    annotator: User,
    client_key: UUID,
    choice: Choice | None,
    side: str,
    degree: int | None,
    note: str,
    seconds: float | None,
    project: Project | None,
) -> Judgment:
    assignment = _locked(assignment_id, annotator, project)
    # The second of two identical requests has waited for the lock and finds the first one's answer.
    if assignment.state in ANSWERED:
        return _stored(client_key, annotator)
    choice = choice or choice_of_side(side, flipped=assignment.flipped)
    _check_degree(assignment, choice, degree)
    counted = assignment.state == AssignmentState.LEASED or _regain_slot(assignment)
    assignment.state = AssignmentState.JUDGED if counted else AssignmentState.SURPLUS
    if counted:
        _count_vote(assignment, choice, 1)
    judgment = _append(
        assignment,
        choice=choice,
        degree=degree,
        client_key=client_key,
        note=note,
        seconds=seconds,
        is_surplus=not counted,
    )
    assignment.save(update_fields=["state", "slot", "revisions", "updated_at"])
    return judgment


def _check_degree(assignment: Assignment, choice: Choice, degree: int | None) -> None:
    """By what the card asked, not by the project's setting of now. An answer that waited in a browser's outbox while
    the setting changed was given to the card as it was: it keeps the degree it has, or has none, and is not lost. And a
    client that forgets the degree is told so, instead of leaving holes in the data that nobody notices."""
    asked = [] if choice == Choice.TIE else assignment.asked
    if degree in (asked or [None]):
        return
    if asked:
        named = ", ".join(f"{each.value} ({each.label})" for each in asked)
        raise WrongDegree(
            _("This comparison asks by how much the response is better."),
            _("Reload the page and answer again, or send as “degree” one of: %(degrees)s.") % {"degrees": named},
            where="degree",
        )
    is_tie = choice == Choice.TIE
    said = _("A tie has no degree.") if is_tie else _("This comparison asks only which response is better.")
    raise WrongDegree(said, _("Reload the page and answer again, or leave “degree” out."), where="degree")


def _stored(client_key: UUID, annotator: User) -> Judgment:
    if judgment := Judgment.objects.filter(client_key=client_key, annotator=annotator).first():
        return judgment
    raise AlreadyAnswered(
        _("This comparison has been answered already."), _("Use “Undo” to change the answer you gave last.")
    )


@transaction.atomic
def skip(*, assignment_id: int, annotator: User, reason: SkipReason, note: str = "") -> Assignment:
    """Give the comparison back with a reason; this person does not get it again. Skipping twice changes nothing."""
    assignment = _locked(assignment_id, annotator)
    if assignment.state == AssignmentState.SKIPPED:
        return assignment
    if assignment.state in ANSWERED:
        raise AlreadyAnswered(_("This comparison has been judged already."), _("Undo the judgment first."))
    held = assignment.slot is not None
    assignment.state, assignment.slot = AssignmentState.SKIPPED, None
    assignment.skip_reason, assignment.note = reason, note
    assignment.save(update_fields=["state", "slot", "skip_reason", "note", "updated_at"])
    if held:
        free_slot(assignment.comparison_id)
    return assignment


@transaction.atomic
def undo_last(
    *, project: Project, annotator: User, assignment_id: int | None = None, revision: int | None = None
) -> Assignment:
    """Take back the last answer: the judgment is retracted by a new revision and the card comes back, asking as it did.
    What is answered now is answered under the version of the guideline that the person has read last.

    `assignment_id`, and of a judgment its `revision` as well, say which answer is meant: if it has been taken back
    already, nothing changes. Without them a request that is sent twice takes back two answers, one after the other.

    Raises:
        NothingToUndo: no answer yet, the one that is meant is not the last, or the slot has gone to somebody else.
        NotYourAssignment: unknown, another person's, or not of `project`.
    """
    last = last_answered(project, annotator)
    if assignment_id is None and last is None:
        raise NothingToUndo(_("There is no answer to take back."))
    assignment = _locked(last.pk if assignment_id is None else assignment_id, annotator, project)
    if (revision or 0) > assignment.revisions:
        raise NothingToUndo(_("There is no answer to take back."))
    # The second of two at once has waited for the lock, and the answer that it came for is gone.
    if _is_taken_back(assignment, revision):
        return assignment
    if last_answered(project, annotator) != assignment:
        raise NothingToUndo(
            _("You have given another answer since, so this one stays."), _("Reload the page to take that one back.")
        )
    if assignment.slot is None and not _regain_slot(assignment):
        raise NothingToUndo(_("This comparison has no free place any more, so the answer stays as it is."))
    if assignment.state == AssignmentState.JUDGED:
        _count_vote(assignment, assignment.judgments.current().get().choice, -1)
    if assignment.state != AssignmentState.SKIPPED:
        _append(assignment, choice=None, is_surplus=assignment.state == AssignmentState.SURPLUS)
    assignment.state, assignment.skip_reason, assignment.note = AssignmentState.LEASED, "", ""
    assignment.leased_at, assignment.expires_at = timezone.now(), lease_until(project)
    assignment.guideline_version = last_read_version(project, annotator) or assignment.guideline_version
    assignment.save()
    return assignment


def _is_taken_back(assignment: Assignment, revision: int | None) -> bool:
    """A card that was answered anew has a later revision; one that was skipped anew cannot be told from before."""
    return assignment.state not in ANSWERED or (revision is not None and revision < assignment.revisions)


def last_answered(project: Project, annotator: User) -> Assignment | None:
    answered = annotator.assignments.filter(comparison__project=project, state__in=ANSWERED)
    return answered.order_by("-updated_at", "-id").first()


def _locked(assignment_id: int, annotator: User, project: Project | None = None) -> Assignment:
    """With its comparison, which PostgreSQL locks first, as `of` names it first: so does a claim in another tab."""
    rows = Assignment.objects.select_related("comparison").filter(pk=assignment_id, annotator=annotator)
    rows = rows.select_for_update(of=("comparison", "self"), no_key=True)
    assignment = (rows.filter(comparison__project=project) if project else rows).first()
    if assignment is None:
        raise NotYourAssignment(_("There is no such comparison in your queue."), _("Reload the page."))
    return assignment


def _regain_slot(assignment: Assignment) -> bool:
    """A slot that was given back is taken again if nobody else has it by now."""
    assignment.slot = take_slot(assignment.comparison)
    return assignment.slot is not None


def _count_vote(assignment: Assignment, choice: str, n: int) -> None:
    """Of the comparison, in one UPDATE: the CHECK that the votes add up holds at its end."""
    column = votes_column(choice)
    Comparison.objects.filter(pk=assignment.comparison_id).update(judged=F("judged") + n, **{column: F(column) + n})


def _append(
    assignment: Assignment,
    *,
    choice: Choice | None,
    degree: int | None = None,
    client_key: UUID | None = None,
    note: str = "",
    seconds: float | None = None,
    is_surplus: bool = False,
) -> Judgment:
    """A new revision takes `is_current` over from the one before it. The caller holds the lock, and saves."""
    if assignment.revisions:
        assignment.judgments.filter(is_current=True).update(is_current=False)
    assignment.revisions += 1
    identity = {"client_key": client_key} if client_key else {}
    return Judgment.objects.create(
        assignment=assignment,
        comparison_id=assignment.comparison_id,
        annotator_id=assignment.annotator_id,
        guideline_version_id=assignment.guideline_version_id,
        revision=assignment.revisions,
        choice=choice,
        degree=degree,
        flipped=assignment.flipped,
        note=note,
        seconds=seconds,
        is_surplus=is_surplus,
        **identity,
    )
