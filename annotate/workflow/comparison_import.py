"""Importing comparisons that were judged elsewhere: a file is checked as a whole, then stored as a whole."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from django.db import transaction
from django.utils.translation import gettext as _

from annotate.models import Judgment, Project
from annotate.workflow.comparison_files import read_records
from annotate.workflow.comparison_records import IMPORTED, ComparisonRecord, checked_records
from annotate.workflow.faults import Faults
from annotate.workflow.imported_batch import ImportTarget, store_batch
from annotate.workflow.record_limits import LARGEST_UNPACKED
from annotate.workflow.uploaded_lines import Problem

RECORDS_AT_ONCE = 500
JUDGMENTS_AT_ONCE = 2000
# Characters as JSON, which Python holds in up to twenty times as many bytes.
LENGTH_AT_ONCE = 16_000_000


@dataclass(frozen=True)
class ComparisonImport:
    """What a file brought: new rows, comparisons that were there with all their judgments already, and, among all
    comparisons of the file, those whose two responses have the same text."""

    comparisons: int
    judgments: int
    annotators: int
    prompts: int
    unchanged: int
    identical: int

    def as_json(self) -> dict[str, Any]:
        return self.__dict__.copy()


def import_comparisons(*, project: Project, stream: BinaryIO, name: str, annotator: str = IMPORTED) -> ComparisonImport:
    """Check, then store, an upload: the file `stream` (seekable) with the name `name`, which tells its format.
    `annotator` is who preferred what lines with `chosen` and `rejected` say.

    Raises UploadRejected as the two steps do; nothing of the file is stored then.
    """
    check_comparisons(stream=stream, name=name, annotator=annotator, most=LARGEST_UNPACKED)
    return store_comparisons(project=project, stream=stream, name=name, annotator=annotator)


def check_comparisons(*, stream: BinaryIO, name: str, annotator: str = IMPORTED, most: float = math.inf) -> None:
    """All that the file alone can tell, without touching the database: so that a long check holds up nobody.

    Raises UploadRejected: malformed lines, two annotations by one annotator, more than `most` characters once it is
    unpacked, or no comparison at all.
    """
    faults = Faults()
    count = sum(1 for _record in checked_records(read_records(stream, name, most), faults, annotator))
    if not count and not faults.total:
        faults.add(0, Problem("", _("There is no comparison in the file.")))
    faults.reject()


@transaction.atomic
def store_comparisons(*, project: Project, stream: BinaryIO, name: str, annotator: str = IMPORTED) -> ComparisonImport:
    """Store a checked file in one transaction; time grows with the file, memory does not. Idempotent by id.

    An unsaved project is created with its first file. A comparison that exists gets the judgments it lacks.

    Raises UploadRejected: a known id with other texts, an annotator with another answer than before, or with two
    answers in lines far apart.
    """
    if project.pk is None:
        project.save()
    # One import at a time, so that two files do not create the same annotator.
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    last = Judgment.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    faults, target, counts = Faults(), ImportTarget(project, name, last), Counter[str]()
    for records in _batches(checked_records(read_records(stream, name), faults, annotator)):
        counts += store_batch(target, records, faults)
    faults.reject()
    return ComparisonImport(**{name: counts[name] for name in ComparisonImport.__dataclass_fields__})


def _batches(records: Iterable[ComparisonRecord]) -> Iterator[list[ComparisonRecord]]:
    """Bounded in records, judgments and length, and no id twice in one: the second is then compared with what is
    stored."""
    batch: dict[str, ComparisonRecord] = {}
    judgments = length = 0
    for record in records:
        is_full = len(batch) >= RECORDS_AT_ONCE or judgments >= JUDGMENTS_AT_ONCE or length >= LENGTH_AT_ONCE
        if record.key in batch or is_full:
            yield list(batch.values())
            batch, judgments, length = {}, 0, 0
        batch[record.key] = record
        judgments += len(record.annotations)
        length += record.length
    if batch:
        yield list(batch.values())
