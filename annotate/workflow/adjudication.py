"""Adjudication: a reviewer's final word on a comparison, changed or withdrawn by a further revision."""

from collections.abc import Callable
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from annotate.models import (
    Adjudication,
    Assignment,
    AssignmentState,
    BadReason,
    Comparison,
    GuidelineVersion,
    Project,
    User,
    Verdict,
)
from annotate.workflow.exceptions import (
    AlreadyAnswered,
    DecidedMeanwhile,
    GuidelineNotRead,
    NothingToAdjudicate,
    NothingToUndo,
    ReasonNeeded,
)
from annotate.workflow.guidelines import current_version, unread_version


def draw_flipped(comparison: Comparison, adjudicator: User) -> bool:
    """Whether response B stands on the left for this person: drawn once and for all without a row, since looking writes
    nothing. Nobody without the secret key can tell it beforehand."""
    return bool(salted_hmac("adjudication.side", f"{comparison.pk}:{adjudicator.pk}").digest()[0] & 1)


def adjudicate(
    *,
    comparison: Comparison,
    adjudicator: User,
    client_key: UUID,
    verdict: Verdict,
    votes_seen: bool,
    reason: BadReason | str = "",
    note: str = "",
    flipped: bool | None = None,
    after: int | None = None,
) -> Adjudication:
    """The next revision of the final word. The same client key again returns the one stored before.

    `after` is the revision that the person had before them, 0 for none; None does not ask. Who has seen the history
    has seen the votes: `votes_seen` holds from the second revision on.

    Raises:
        ReasonNeeded: a bad item without a reason, or another reason without a note.
        GuidelineNotRead: the current version must be shown first.
        NothingToAdjudicate: nobody has judged the comparison, nor skipped it where it is called a bad item; or there is
            nothing to withdraw.
        DecidedMeanwhile: somebody has written a later revision than `after`.
        AlreadyAnswered: the client key was used for something else.
    """
    reason = reason if verdict == Verdict.BAD else ""
    _require_reason(verdict, reason, note)

    def write(locked: Comparison, last: Adjudication | None) -> Adjudication:
        if after is not None and after != (last.revision if last else 0):
            raise DecidedMeanwhile(
                _("Somebody has decided this comparison meanwhile, or taken a decision back."),
                _("Reload the page and look at what was said before you decide."),
            )
        if not (locked.judged or last or (verdict == Verdict.BAD and skipped(locked).exists())):
            raise NothingToAdjudicate(
                _("Nobody has judged this comparison yet."),
                _("A final word needs votes that it is the last of; a bad item needs only somebody who skipped it."),
            )
        if verdict == Verdict.WITHDRAWN and (last is None or last.verdict == Verdict.WITHDRAWN):
            raise NothingToAdjudicate(_("There is no final word on this comparison that could be withdrawn."))
        return _append(
            locked, last, adjudicator=adjudicator, client_key=client_key, verdict=verdict, reason=reason, note=note,
            flipped=flipped, votes_seen=votes_seen or last is not None, guideline_version=_version(adjudicator, locked),
        )  # fmt: skip

    return _once(comparison, adjudicator, client_key, write)


def skipped(comparison: Comparison) -> QuerySet[Assignment]:
    """By whom, and why."""
    return comparison.assignments.filter(state=AssignmentState.SKIPPED)


def undo_last_adjudication(*, project: Project, adjudicator: User) -> Adjudication:
    """Withdraw this person's last word in the project; again, and it is the one before that.

    Raises NothingToUndo: there is none left, or somebody has spoken after it.
    """
    mine = adjudicator.adjudications.filter(comparison__project=project)
    later = mine.filter(comparison=OuterRef("comparison"), pk__gt=OuterRef("pk"))
    standing = mine.exclude(verdict=Verdict.WITHDRAWN).exclude(Exists(later)).select_related("comparison")
    last = standing.order_by("-id").first()
    if last is None:
        raise NothingToUndo(_("There is no decision to take back."))
    try:
        return adjudicate(
            comparison=last.comparison, adjudicator=adjudicator, client_key=uuid4(), verdict=Verdict.WITHDRAWN,
            votes_seen=True, flipped=last.flipped, after=last.revision,
        )  # fmt: skip
    except DecidedMeanwhile as error:
        raise NothingToUndo(_("Somebody else has decided this comparison since, so that word stays.")) from error


def _once(
    comparison: Comparison,
    adjudicator: User,
    client_key: UUID,
    write: Callable[[Comparison, Adjudication | None], Adjudication],
) -> Adjudication:
    """Under the lock of the comparison, which makes the number of the revision certain."""
    try:
        with transaction.atomic():
            locked = Comparison.objects.select_for_update(of=("self",), no_key=True).get(pk=comparison.pk)
            if stored := Adjudication.objects.filter(client_key=client_key).first():
                return _same(stored, locked, adjudicator)
            return write(locked, locked.adjudications.filter(is_current=True).first())
    except IntegrityError:
        # The client key is UNIQUE: it was stored with another comparison at this very moment.
        return _same(Adjudication.objects.get(client_key=client_key), comparison, adjudicator)


def _same(stored: Adjudication, comparison: Comparison, adjudicator: User) -> Adjudication:
    if (stored.comparison_id, stored.adjudicator_id) != (comparison.pk, adjudicator.pk):
        raise AlreadyAnswered(_("This key was used for another decision."), _("Send a new client_key."))
    return stored


def _append(comparison: Comparison, last: Adjudication | None, **fields: object) -> Adjudication:
    """A new revision takes `is_current` over from the one before it."""
    if last:
        comparison.adjudications.filter(pk=last.pk).update(is_current=False)
    decided = fields["verdict"] != Verdict.WITHDRAWN
    Comparison.objects.filter(pk=comparison.pk).update(is_adjudicated=decided)
    return Adjudication.objects.create(comparison=comparison, revision=last.revision + 1 if last else 1, **fields)


def _version(adjudicator: User, comparison: Comparison) -> GuidelineVersion | None:
    """The version that decides; None of a project without one, as imports may be."""
    project = comparison.project
    if unread_version(project, adjudicator):
        raise GuidelineNotRead(_("The guideline has changed."), _("Read what changed, then go on."))
    return current_version(project)


def _require_reason(verdict: Verdict, reason: str, note: str) -> None:
    if verdict == Verdict.BAD and reason not in BadReason.values:
        raise ReasonNeeded(_("Say why the item is bad."), _("Choose one of the reasons."), where="reason")
    if reason == BadReason.OTHER and not note.strip():
        raise ReasonNeeded(_("Say in the note what the other reason is."), where="note")
