"""What is wrong with a file, read as a stream: all counted, the first hundred kept."""

from annotate.workflow.exceptions import LineError, UploadRejected
from annotate.workflow.uploaded_lines import SHOWN_ERRORS, Problem


class Faults:
    """Collects problems line by line."""

    def __init__(self) -> None:
        self.errors: list[LineError] = []
        self.total = 0

    def add(self, line: int, problem: Problem) -> None:
        self.total += 1
        if len(self.errors) < SHOWN_ERRORS:
            self.errors.append(LineError(line, problem.field, problem.message))

    def reject(self) -> None:
        """Raises UploadRejected where there was a problem."""
        if self.total:
            raise UploadRejected(sorted(self.errors, key=lambda error: error.line), self.total)
