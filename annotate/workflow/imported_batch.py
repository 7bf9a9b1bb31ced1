"""Some hundred imported comparisons at a time: records become prompts, responses, comparisons and judgments."""

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import (
    Assignment,
    AssignmentState,
    Batch,
    Choice,
    Comparison,
    Judgment,
    Project,
    Prompt,
    Response,
    votes_column,
)
from annotate.workflow.comparison_records import MOST_JUDGMENTS, Annotation, ComparisonRecord, too_many, twice
from annotate.workflow.faults import Faults
from annotate.workflow.imported_annotators import annotators_named
from annotate.workflow.intake import open_batch
from annotate.workflow.uploaded_lines import Problem

LONGEST_BATCH_NAME = 120
ResponseKey = tuple[int, str]


@dataclass
class ImportTarget:
    """Where a file goes; judgments after `last_judgment` are its own."""

    project: Project
    file: str
    last_judgment: int

    @cached_property
    def batch(self) -> Batch:
        """Opened for the first new comparison only: a file that brings nothing leaves no empty batch."""
        return open_batch(project=self.project, name=self.file[-LONGEST_BATCH_NAME:])


@dataclass
class _Held:
    """What a comparison that was there already holds: choice, degree and id of the judgment by annotator, and slots."""

    said: dict[int, tuple[str, int | None, int]] = field(default_factory=dict)
    slots: set[int] = field(default_factory=set)


def store_batch(target: ImportTarget, records: list[ComparisonRecord], faults: Faults) -> Counter[str]:
    """Store records of distinct ids within the caller's transaction; what contradicts stored rows goes to `faults`.

    The caller holds the project's lock: batch after batch locks comparisons in the order of the file.
    """
    keys = [record.key for record in records]
    rows = target.project.comparisons.filter(key__in=keys).select_related("prompt", "response_a", "response_b")
    known = {row.key: row for row in rows.select_for_update(of=("self",), no_key=True)}
    counts: Counter[str] = Counter(identical=sum(record.responses[0] == record.responses[1] for record in records))
    names = {annotation.annotator: None for record in records for annotation in record.annotations}
    annotators, counts["annotators"] = annotators_named(target.project, names)
    new = [record for record in records if record.key not in known]
    created = _create_comparisons(target, new, counts)
    held = _held([row.pk for row in known.values()])
    assignments: list[tuple[Assignment, Annotation]] = []
    for record in records:
        row = known.get(record.key)
        if row is None:
            additions = record.annotations
            slots: set[int] = set()
        else:
            additions = _additions(target, record, row, held[row.pk], annotators, faults)
            slots = held[row.pk].slots
        comparison = row or created[record.key]
        assignments += _assignments(comparison, additions, slots, annotators)
        if row is not None:
            counts["unchanged"] += not additions
            _count(row, additions)
    _create_judgments(assignments)
    counts["judgments"] += len(assignments)
    return counts


def _additions(
    target: ImportTarget,
    record: ComparisonRecord,
    row: Comparison,
    held: _Held,
    annotators: dict[str, int],
    faults: Faults,
) -> list[Annotation]:
    """The annotations that the stored comparison lacks."""
    stored = (row.prompt.content_hash, (row.response_a.text, row.response_b.text))
    if stored != (record.content_hash, record.responses):
        said = _("the comparison “%(key)s” is there already with another prompt or other responses")
        faults.add(record.line, Problem("id", said % {"key": record.key}))
        return []
    found = []
    for annotation in record.annotations:
        choice, degree, judgment = held.said.get(annotators[annotation.annotator], ("", None, 0))
        if judgment > target.last_judgment:
            faults.add(annotation.line, twice(annotation.annotator, record.key))
        elif judgment and choice != annotation.choice:
            said = _("“%(name)s” answered “%(before)s” in an earlier import; judgments are never changed")
            faults.add(annotation.line, Problem("annotations", said % {"name": annotation.annotator, "before": choice}))
        elif judgment and degree != annotation.degree:
            said = _("“%(name)s” said the degree “%(before)s” in an earlier import; judgments are never changed")
            before = _("none") if degree is None else degree
            faults.add(annotation.line, Problem("degree", said % {"name": annotation.annotator, "before": before}))
        elif not judgment:
            found.append(annotation)
    if row.taken + len(found) > MOST_JUDGMENTS:
        faults.add(record.line, too_many())
        return []
    return found


def _held(comparisons: list[int]) -> dict[int, _Held]:
    held: dict[int, _Held] = defaultdict(_Held)
    slots = Assignment.objects.filter(comparison__in=comparisons, slot__isnull=False)
    for comparison, slot in slots.values_list("comparison_id", "slot"):
        held[comparison].slots.add(slot)
    judgments = Judgment.objects.current().filter(comparison__in=comparisons).order_by()
    names = ("comparison_id", "annotator_id", "choice", "degree", "pk")
    for comparison, annotator, choice, degree, pk in judgments.values_list(*names):
        held[comparison].said[annotator] = (choice, degree, pk)
    return held


def _create_comparisons(
    target: ImportTarget, records: list[ComparisonRecord], counts: Counter[str]
) -> dict[str, Comparison]:
    if not records:
        return {}
    prompts = _prompts(target.project, records, counts)
    responses = _responses(prompts, records)
    made = [_comparison(target, record, prompts[record.content_hash], responses) for record in records]
    counts["comparisons"] += len(made)
    return {comparison.key: comparison for comparison in Comparison.objects.bulk_create(made)}


def _comparison(
    target: ImportTarget, record: ComparisonRecord, prompt: int, responses: dict[ResponseKey, int]
) -> Comparison:
    """Open for judging here as far as the project's overlap goes beyond what the file brought."""
    first, second = (responses[prompt, key] for key in _response_keys(record))
    n = len(record.annotations)
    return Comparison(
        project=target.project,
        batch=target.batch,
        prompt_id=prompt,
        response_a_id=first,
        response_b_id=second,
        key=record.key,
        overlap=max(target.project.overlap, n),
        taken=n,
        judged=n,
        **_votes(record.annotations),
        metadata=record.metadata,
    )


def _prompts(project: Project, records: list[ComparisonRecord], counts: Counter[str]) -> dict[str, int]:
    """Ids by content; one prompt however many comparisons it has."""
    wanted = {record.content_hash: record for record in records}
    found = dict(project.prompts.filter(content_hash__in=wanted).values_list("content_hash", "pk"))
    new = [
        Prompt(
            project=project, key=f"prompt-{digest[:24]}", content_hash=digest, messages=record.messages,
            tags=record.tags, language=record.language,
        )
        for digest, record in wanted.items() if digest not in found
    ]  # fmt: skip
    counts["prompts"] += len(new)
    return found | {prompt.content_hash: prompt.pk for prompt in Prompt.objects.bulk_create(new)}


def _responses(prompts: dict[str, int], records: list[ComparisonRecord]) -> dict[ResponseKey, int]:
    """Ids by prompt and key; a response that is in several comparisons is one row."""
    wanted = {
        (prompts[record.content_hash], key): (text, source)
        for record in records
        for key, text, source in zip(_response_keys(record), record.responses, record.sources, strict=True)
    }
    rows = Response.objects.filter(prompt__in=prompts.values(), key__in={key for _prompt, key in wanted})
    found = {(prompt, key): pk for prompt, key, pk in rows.values_list("prompt_id", "key", "pk")}
    new = [
        Response(prompt_id=prompt, key=key, text=text, source=source)
        for (prompt, key), (text, source) in wanted.items()
        if (prompt, key) not in found
    ]
    return found | {(row.prompt_id, row.key): row.pk for row in Response.objects.bulk_create(new)}


def _response_keys(record: ComparisonRecord) -> tuple[str, str]:
    """By model and text. Two equal ones are still two responses: a comparison has two, whatever they say."""
    first, second = (_digest(*named) for named in zip(record.sources, record.responses, strict=True))
    return first, second if first != second else f"{second}-b"


def _digest(source: str, text: str) -> str:
    return f"import-{hashlib.sha256(json.dumps([source, text]).encode()).hexdigest()[:24]}"


def _assignments(
    comparison: Comparison, annotations: list[Annotation], used: set[int], annotators: dict[str, int]
) -> list[tuple[Assignment, Annotation]]:
    free = (slot for slot in range(len(used) + len(annotations)) if slot not in used)
    now = timezone.now()
    return [
        (
            Assignment(
                comparison=comparison, annotator_id=annotators[annotation.annotator], state=AssignmentState.JUDGED,
                slot=slot, flipped=None, leased_at=annotation.submitted_at or now,
                expires_at=annotation.submitted_at or now, revisions=1,
            ),
            annotation,
        )
        for slot, annotation in zip(free, annotations, strict=False)
    ]  # fmt: skip


def _create_judgments(assignments: list[tuple[Assignment, Annotation]]) -> None:
    """Made under no version of our guideline, and on which side A stood is not known."""
    Assignment.objects.bulk_create([assignment for assignment, _annotation in assignments])
    now = timezone.now()
    Judgment.objects.bulk_create(
        [
            Judgment(
                assignment=assignment, comparison_id=assignment.comparison_id, annotator_id=assignment.annotator_id,
                choice=annotation.choice, degree=annotation.degree, flipped=None, note=annotation.note,
                seconds=annotation.seconds, metadata=annotation.metadata, created_at=annotation.submitted_at or now,
            )
            for assignment, annotation in assignments
        ]
    )  # fmt: skip


def _votes(annotations: list[Annotation]) -> dict[str, int]:
    said = Counter(annotation.choice for annotation in annotations)
    return {votes_column(choice): said[choice] for choice in Choice}


def _count(row: Comparison, additions: list[Annotation]) -> None:
    """Imported judgments take slots of their own where the overlap has none left."""
    if n := len(additions):
        votes = {column: F(column) + more for column, more in _votes(additions).items()}
        Comparison.objects.filter(pk=row.pk).update(
            taken=F("taken") + n, judged=F("judged") + n, overlap=Greatest(F("overlap"), F("taken") + n), **votes
        )
