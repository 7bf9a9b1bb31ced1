"""What can go wrong in the flow, named by cause; turned into a status in one place (`workbench/errors.py`)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from django.db import InterfaceError, OperationalError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

# What Django raises where the database does not answer: none of ours, and nobody's mistake.
DATABASE_AWAY = (OperationalError, InterfaceError)


class WorkflowError(Exception):
    """The message is for the person; `status` is the HTTP status it becomes, `where` is the input at fault, if any."""

    status = 409

    def __init__(self, message: str, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where


@dataclass(frozen=True)
class LineError:
    """One thing wrong in an uploaded file. `line` counts from 1; 0 means the file as a whole."""

    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = _("line %(line)s") % {"line": self.line} if self.line else _("the file")
        return f"{where}, {self.field}: {self.message}" if self.field else f"{where}: {self.message}"


class UploadRejected(WorkflowError):
    """Nothing of the file was stored; `errors` lists the first hundred lines at fault, `total` counts them all."""

    status = 400

    def __init__(self, errors: list[LineError], total: int) -> None:
        super().__init__(
            ngettext(
                "Nothing was imported: %(total)s problem in the file.",
                "Nothing was imported: %(total)s problems in the file.",
                total,
            )
            % {"total": total},
            _("Mend the lines named below and upload the file again."),
        )
        self.errors = errors
        self.total = total


class NoGuideline(WorkflowError):
    """Judging needs a published guideline."""


class GuidelineNotRead(WorkflowError):
    """The current version has not been shown to this person yet."""


class NoSuchRow(WorkflowError):
    """A request names by number what the project does not have; of another project's rows it is said as well."""

    status = 404


class NotYourAssignment(WorkflowError):
    """The assignment belongs to somebody else or does not exist."""

    status = 404


class AlreadyAnswered(WorkflowError):
    """The assignment has been judged or skipped already, under another client key."""


class WrongDegree(WorkflowError):
    """A degree of preference where none is asked, another than is asked, or none where one is."""

    status = 400


class NothingToUndo(WorkflowError):
    """There is no answer that could be taken back."""


class EmptyGuideline(WorkflowError):
    """A guideline version needs a text and a summary of what changed."""

    status = 400


class NothingToInferFrom(WorkflowError):
    """An aggregation that learns how far people can be relied on needs comparisons that two of them judged."""


class SnapshotFilesGone(WorkflowError):
    """They were removed or spoilt beside the database."""

    def __init__(self, number: int, path: object) -> None:
        super().__init__(
            _("Snapshot %(number)s cannot be read: %(path)s is not there or broken.")
            % {"number": number, "path": path},
            _("Freeze the same state with the same choices again, which writes its files anew, or put them back."),
        )


class EmptySnapshot(WorkflowError):
    """No comparison has a majority: there is nothing to freeze."""


class NobodyHeldOut(WorkflowError):
    """Annotators are to be held out, and the draw leaves nobody on one of the two sides."""


class NameTaken(WorkflowError):
    """Another set of the project has this name."""


class TooFewLabels(WorkflowError):
    """Not enough decided comparisons to train and evaluate on."""


class MalformedAnswer(WorkflowError):
    """The page sent something that is no answer: an outdated or altered form."""

    status = 400


class NothingToAdjudicate(WorkflowError):
    """No vote that a final word could follow, or no final word that could be withdrawn."""


class DecidedMeanwhile(WorkflowError):
    """There is a later revision than the one the person had before them."""


class ReasonNeeded(WorkflowError):
    """A bad item needs a reason, and another reason a note."""

    status = 400


class BadIdempotencyKey(WorkflowError):
    """Empty, too long, or not of characters that a header may have."""

    status = 400


class IdempotencyKeyReused(WorkflowError):
    """Another request was sent under this key before."""

    status = 422


class UnknownFilter(WorkflowError):
    """A list was asked for by something that it does not know."""

    status = 400

    @classmethod
    def of(cls, name: str, value: str, known: Iterable[str]) -> Self:
        return cls(
            _("%(name)s=%(value)s is no filter of this list.") % {"name": name, "value": value},
            _("Use one of: %(names)s.") % {"names": ", ".join(known)},
            where=name,
        )
