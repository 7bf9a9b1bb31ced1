"""One record of a file of comparisons, checked: a prompt, two responses, and who preferred which."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from annotate.models import Choice, Degree
from annotate.workflow.faults import Faults
from annotate.workflow.foreign_forms import SIDES, with_turns
from annotate.workflow.intake import content_hash
from annotate.workflow.preference_records import as_comparison, is_preference
from annotate.workflow.record_limits import LONGEST_RECORD
from annotate.workflow.uploaded_lines import Problem, Record, key_of, messages_of, require_storable, tags_and_language

# Far above any overlap; a slot is a small integer in the database.
MOST_JUDGMENTS = 1000
LONGEST_NAME = 150
# Who preferred what a file of preferences says, where it does not say it.
IMPORTED = "imported"
CHATS = ("prompt", *SIDES)
OF_COMPARISON = {"id", "prompt", "messages", "response_a", "response_b", "tags", "language", "annotations"}
OF_ANNOTATION = {"annotator", "choice", "degree", "note", "seconds", "submitted_at"}


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one annotator said; `line` is where it stands."""

    line: int
    annotator: str
    choice: Choice
    degree: Degree | None
    note: str
    seconds: float | None
    submitted_at: datetime | None
    metadata: Record


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """`sources` name the models of the two responses, "import" where the file does not say; `length` is that of its
    JSON."""

    line: int
    length: int
    key: str
    messages: list[dict[str, str]]
    content_hash: str
    responses: tuple[str, str]
    sources: tuple[str, str]
    tags: list[str]
    language: str
    metadata: Record
    annotations: list[Annotation] = field(default_factory=list)

    def has_texts_of(self, other: "ComparisonRecord") -> bool:
        return (self.content_hash, self.responses) == (other.content_hash, other.responses)


def checked_records(
    numbered: Iterable[tuple[int, Record | Problem]], faults: Faults, annotator: str = IMPORTED
) -> Iterator[ComparisonRecord]:
    """The good records; what is wrong goes to `faults`. Neighbours with one id and the same texts are put together, so
    that a file with one judgment a row has one record a comparison, or a few where they are long. A preference that
    names nobody is the `annotator`'s."""
    held: ComparisonRecord | None = None
    length = 0
    for line, given in numbered:
        try:
            if isinstance(given, Problem):
                raise given
            record = _record(line, given, annotator)
        except Problem as problem:
            faults.add(line, problem)
            continue
        is_more = held is not None and held.key == record.key and held.has_texts_of(record)
        if held and is_more and len(held.annotations) <= MOST_JUDGMENTS and length <= LONGEST_RECORD:
            held.annotations.extend(record.annotations)
            length += record.length
            continue
        if held:
            yield _once_each(replace(held, length=length), faults)
        held, length = record, record.length
    if held:
        yield _once_each(replace(held, length=length), faults)


def _once_each(record: ComparisonRecord, faults: Faults) -> ComparisonRecord:
    seen: set[str] = set()
    for annotation in record.annotations:
        if annotation.annotator in seen:
            faults.add(annotation.line, twice(annotation.annotator, record.key))
        seen.add(annotation.annotator)
    if len(record.annotations) > MOST_JUDGMENTS:
        faults.add(record.line, too_many())
    return record


def twice(annotator: str, key: str) -> Problem:
    said = _("“%(name)s” has two annotations of the comparison “%(key)s” in the file; keep one")
    return Problem("annotations", said % {"name": annotator, "key": key})


def too_many() -> Problem:
    return Problem("annotations", _("more than %(n)s judgments of one comparison") % {"n": MOST_JUDGMENTS})


def _record(line: int, given: Record, annotator: str) -> ComparisonRecord:
    record = _with_annotations(given, annotator)
    length = require_storable(record)
    record = with_turns(record, ("response_a", "response_b"))
    key = key_of(record)
    if not key:
        raise Problem("id", _("is missing: it tells whether a comparison has been imported before"))
    messages = messages_of(record)
    tags, language = tags_and_language(record)
    annotations = record["annotations"]
    if not isinstance(annotations, list):
        raise Problem("annotations", _("must be a list of objects with “annotator” and “choice”"))
    return ComparisonRecord(
        line=line,
        length=length,
        key=key,
        messages=messages,
        content_hash=content_hash(messages),
        responses=(_response(record, "response_a"), _response(record, "response_b")),
        sources=(_source(record, "model_a"), _source(record, "model_b")),
        tags=tags,
        language=language,
        metadata={name: value for name, value in record.items() if name not in OF_COMPARISON},
        annotations=[_annotation(line, each) for each in annotations],
    )


def _with_annotations(given: Record, annotator: str) -> Record:
    """One shape for all: cells of a CSV file are read, and a row that is one judgment, as a preference is, gets a list
    of one."""
    record = {
        name: value for name, value in given.items() if value != "" or name not in (*OF_ANNOTATION, "annotations")
    }
    for name in ("annotations", *CHATS, "tags"):
        if isinstance(record.get(name), str):
            record[name] = _cell(name, record[name])
    if is_preference(record):
        record = as_comparison(record, annotator)
    if "annotations" in record or not {"annotator", "choice"} & record.keys():
        return {"annotations": [], **record}
    own = {name: value for name, value in record.items() if name in (*OF_COMPARISON, "model_a", "model_b")}
    return {**own, "annotations": [{name: value for name, value in record.items() if name not in own}]}


def _cell(name: str, text: str) -> Any:
    """A text that stands for a list: of annotations, of tags (separated by ;), or of chat messages."""
    if name == "tags":
        return [tag.strip() for tag in text.split(";") if tag.strip()]
    if name in CHATS and not text.lstrip().startswith("["):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if name in CHATS:
            return text
        raise Problem(name, _("not JSON (%(error)s)") % {"error": error}) from error
    is_chat = isinstance(value, list) and bool(value) and all(isinstance(turn, dict) for turn in value)
    return value if is_chat or name not in CHATS else text


def _response(record: Record, name: str) -> str:
    if not isinstance(text := record.get(name), str):
        raise Problem(name, _("must be a text"))
    return text


def _source(record: Record, name: str) -> str:
    model = record.get(name)
    return model[:200] if isinstance(model, str) and model else "import"


def _annotation(line: int, given: Any) -> Annotation:
    if not isinstance(given, dict):
        raise Problem("annotations", _("must be a list of objects with “annotator” and “choice”"))
    name, choice, note = given.get("annotator"), given.get("choice"), given.get("note", "")
    if isinstance(name, bool) or not isinstance(name, str | int) or not 0 < len(str(name).strip()) <= LONGEST_NAME:
        raise Problem("annotator", _("must be a text of 1 to %(n)s characters, or a number") % {"n": LONGEST_NAME})
    if choice not in Choice.values:
        raise Problem("choice", _("must be “a”, “b” or “tie”"))
    if not isinstance(note, str):
        raise Problem("note", _("must be a text"))
    return Annotation(
        line=line,
        annotator=str(name).strip(),
        choice=Choice(choice),
        degree=_degree(given.get("degree"), choice),
        note=note,
        seconds=_seconds(given.get("seconds")),
        submitted_at=_time(given.get("submitted_at")),
        metadata={name: value for name, value in given.items() if name not in OF_ANNOTATION and value is not None},
    )


def _degree(given: Any, choice: str) -> Degree | None:
    """Also as a text, which a cell of a CSV file is, and as 2.0, which a column with empty cells makes of it."""
    if given is None:
        return None
    try:
        degree = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        degree = math.nan
    if degree not in Degree.values:
        raise Problem("degree", _("must be 1 (slightly better), 2 (better) or 3 (much better)"))
    if choice == Choice.TIE:
        raise Problem("degree", _("must be left out: a tie has none"))
    return Degree(int(degree))


def _seconds(given: Any) -> float | None:
    try:
        seconds = None if given is None else float(given)
    except (TypeError, ValueError):
        seconds = math.nan
    if seconds is not None and not 0 <= seconds < math.inf:
        raise Problem("seconds", _("must be a number of seconds, 0 or more"))
    return seconds


def _time(given: Any) -> datetime | None:
    if given is None:
        return None
    try:
        time = parse_datetime(given) if isinstance(given, str) else None
    except ValueError:
        time = None
    if time is None:
        raise Problem("submitted_at", _("must be a time such as 2026-03-31T09:30:00Z"))
    return time if time.tzinfo else time.replace(tzinfo=UTC)
