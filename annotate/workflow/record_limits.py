"""How much of a file may be in memory at once: what is packed small can be of any size."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from annotate.workflow.uploaded_lines import Problem

# Of a record: a million tokens, which is more than any prompt with two responses.
LONGEST_RECORD = 4_000_000
# Of an upload, once it is unpacked: ten times the 50 MB that it may have.
LARGEST_UNPACKED = 500_000_000


@dataclass
class RecordLimits:
    """Counts the characters of the record that is being read, which begins at line `number`, and of the whole file."""

    most: float
    longest: int = LONGEST_RECORD
    number: int = 1
    length: int = 0
    total: int = 0

    def begin(self, number: int) -> None:
        self.number, self.length = number, 0

    def add(self, length: int) -> None:
        """Raises Problem."""
        self.length += length
        self.total += length
        if self.length > self.longest:
            raise Problem("", _("the record is longer than %(n)s characters") % {"n": f"{self.longest:,}"})
        if self.total > self.most:
            raise Problem(
                "", _("here the file exceeds %(n)s characters unpacked: split it") % {"n": f"{int(self.most):,}"}
            )
