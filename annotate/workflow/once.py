"""Carries out once what is asked for twice: the first answer is kept under a key of its sender, and given again.

A verb that is short goes `together` with the row of its key: both are committed or none, and whoever asks again
meanwhile waits for that. One that takes its time, or commits by itself, would hold others up so. Those find by content
what they have made before, and may run again: their answers are kept `afterwards`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import FirstAnswer, User
from annotate.workflow.exceptions import BadIdempotencyKey, IdempotencyKeyReused

LONGEST_KEY = 255


@dataclass(frozen=True)
class Answer:
    """`is_replayed`: it was given before, and nothing was carried out now."""

    status: int
    body: str
    is_replayed: bool = False


@dataclass(frozen=True)
class Sent:
    """A request: whose it is, under which key, and the `digest_of` what it asks for."""

    user: User
    key: str
    digest: str


def digest_of(content: str) -> str:
    return sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def checked_key(raw: str) -> str:
    """Raises BadIdempotencyKey."""
    if not (0 < len(raw) <= LONGEST_KEY and raw.isascii() and raw.isprintable()):
        raise BadIdempotencyKey(
            _("An Idempotency-Key has 1 to %(most)s characters, all of them printable ASCII.") % {"most": LONGEST_KEY},
            _("Draw one for each thing that you start, a UUID for one, and send the same again with a repeat."),
        )
    return raw


def together(sent: Sent, act: Callable[[], Answer]) -> Answer:
    """What `act` answers, or has answered before. Whatever it raises leaves neither work nor key behind.

    Raises IdempotencyKeyReused.
    """
    if before := _before(sent):
        return before
    with transaction.atomic():
        # PostgreSQL waits here for whoever has the same key in hand; on SQLite the transaction has waited for it.
        row, is_new = FirstAnswer.objects.get_or_create(user=sent.user, key=sent.key, defaults={"request": sent.digest})
        if not is_new:
            return _again(row, sent)
        answer = act()
        FirstAnswer.objects.filter(pk=row.pk).update(status=answer.status, body=answer.body)
    return answer


def afterwards(sent: Sent, act: Callable[[], Answer]) -> Answer:
    """As `together`, for an `act` that finds what it has made before: if it was carried out and its answer not kept, or
    two come at once, it runs again. Of two at once both get the answer that is kept first."""
    if before := _before(sent):
        return before
    answer = act()
    kept = {"request": sent.digest, "status": answer.status, "body": answer.body}
    row, is_new = FirstAnswer.objects.get_or_create(user=sent.user, key=sent.key, defaults=kept)
    # Another request under this key, at the same moment: this one was carried out, and is not told otherwise.
    return answer if is_new or row.request != sent.digest else _again(row, sent)


def forget_outdated(now: datetime | None = None) -> int:
    """How many answers were kept for long enough."""
    return FirstAnswer.objects.outdated(now or timezone.now()).delete()[0]


def _before(sent: Sent) -> Answer | None:
    row = FirstAnswer.objects.filter(user=sent.user, key=sent.key).first()
    return _again(row, sent) if row else None


def _again(row: FirstAnswer, sent: Sent) -> Answer:
    if row.request != sent.digest:
        raise IdempotencyKeyReused(
            _("Another request was sent under this Idempotency-Key before."),
            _("Send the same request again, or this one under a new key."),
        )
    return Answer(row.status, row.body, is_replayed=True)
