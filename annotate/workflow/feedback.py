"""Feedback: single votes on responses, uploaded as a set, split by prompt, hashed; TRL's unpaired preferences."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.models import Feedback, FeedbackSet, Project, Split, User
from annotate.workflow.exceptions import NameTaken, WorkflowError
from annotate.workflow.foreign_forms import as_trl_vote
from annotate.workflow.intake import content_hash
from annotate.workflow.parquet_folder import MESSAGE
from annotate.workflow.snapshots import split_of
from annotate.workflow.uploaded_lines import (
    Problem,
    Record,
    key_of,
    messages_of,
    read_upload,
    require_storable,
    response_of,
)
from annotate.workflow.uploaded_sets import hash_of_rows, require_share, write_rows

LONGEST_NAME = 120
SPLIT_SEED = 0
# TRL's name, and ours.
RESPONSES = ("completion", "response")
# The columns that TRL's KTO trainer reads, and an id.
SCHEMA = pa.schema(
    [("id", pa.string()), ("prompt", pa.list_(MESSAGE)), ("completion", pa.list_(MESSAGE)), ("label", pa.bool_())]
)
LABELS = {"true": True, "1": True, "up": True, "false": False, "0": False, "down": False}


@dataclass(frozen=True)
class Row:
    """One line of an upload."""

    key: str
    messages: list[dict[str, str]]
    response: str
    desirable: bool
    split: Split

    def canonical(self) -> dict[str, Any]:
        """What is hashed and written; only content, no ids of this database."""
        completion = [{"role": "assistant", "content": self.response}]
        return {"id": self.key, "prompt": self.messages, "completion": completion, "label": self.desirable}


def import_feedback(
    *,
    project: Project,
    name: str,
    lines: Iterable[str],
    format: str = "jsonl",
    test_share: float = 0.2,
    actor: User | None = None,
) -> tuple[FeedbackSet, bool]:
    """Store a JSONL or CSV text as a set, all or nothing; and whether it is new: the same content is the same set.

    JSONL: {"id"?, "prompt": text or chat, or "messages": chat, "completion" or "response": text or a chat of one turn
    of the assistant, "label": true | false, also 1 | 0 and "up" | "down"}, or one of LLaMA-Factory's forms
    ({"conversations" or "instruction", "input"?, "output", and "kto_tag"}); other keys are not kept.
    CSV: a header with `prompt`, `completion` or `response`, and `label`, and optionally id.

    Several people may vote on one response, alike or not: what tells two equal votes apart is their ids, and without
    them the second one is a mistake.

    Raises:
        UploadRejected: at least one line is malformed; every one (the first hundred) is named.
        NameTaken: another set of the project has this name.
        WorkflowError: no name, a test share outside 0 to 0.9, or one that leaves nothing to train on.
    """
    name = name.strip()
    _check_request(name, test_share)
    rows = read_upload(
        lines=lines,
        format=format,
        columns=("prompt", "label"),
        build=_reader(test_share),
        empty=_("There is no vote in the file."),
    )
    rows.sort(key=lambda row: row.key)
    if all(row.split == Split.TEST for row in rows):
        raise WorkflowError(
            ngettext(
                "%(n)s vote fell into the test split: nothing is left to train on.",
                "All %(n)s votes fell into the test split: nothing is left to train on.",
                len(rows),
            )
            % {"n": len(rows)},
            _("Lower the test share, or upload more votes."),
        )
    return _store(project, name, rows, actor)


def _check_request(name: str, test_share: float) -> None:
    if not name or len(name) > LONGEST_NAME:
        raise WorkflowError(
            _("A set of feedback needs a name of 1 to %(n)s characters.") % {"n": LONGEST_NAME},
            _("Name it after where it comes from, or when it was given."),
        )
    require_share(test_share)


def _reader(test_share: float) -> Callable[[int, Record], Row]:
    lines_of_keys: dict[str, int] = {}

    def build(number: int, record: Record) -> Row:
        row = _row(record, test_share)
        if (first := lines_of_keys.setdefault(row.key, number)) == number:
            return row
        if key_of(record):
            raise Problem("id", _("the same id as in line %(line)s") % {"line": first})
        said = _("the same vote as in line %(line)s; if both were given, give each an id")
        raise Problem("label", said % {"line": first})

    return build


def _row(record: Record, test_share: float) -> Row:
    require_storable(record)
    record = as_trl_vote(record)
    messages, response, desirable = messages_of(record), response_of(record, RESPONSES), _label_of(record)
    prompt = content_hash(messages)
    named = hashlib.sha256(f"{prompt}\n{desirable}\n{response}".encode()).hexdigest()[:16]
    split = split_of(prompt, test_share, SPLIT_SEED)
    return Row(key_of(record) or f"vote-{named}", messages, response, desirable, split)


def _label_of(record: Record) -> bool:
    value = record.get("label")
    # Not by truth: 2, "no" and [] are mistakes, and so is 0.5.
    found = LABELS.get(str(value).strip().casefold()) if isinstance(value, bool | int | str) else None
    if found is None:
        shown = json.dumps(value, ensure_ascii=False)[:40]
        raise Problem(
            "label", _("must be true or false (or 1 and 0, “up” and “down”), not %(value)s") % {"value": shown}
        )
    return found


def _counts(rows: list[Row]) -> dict[str, int]:
    counts = {str(split): sum(row.split == split for row in rows) for split in Split}
    desirable = {f"{split}_desirable": sum(row.split == split and row.desirable for row in rows) for split in Split}
    return counts | desirable


@transaction.atomic
def _store(project: Project, name: str, rows: list[Row], actor: User | None) -> tuple[FeedbackSet, bool]:
    # Two uploads at once: the second one waits, and finds what the first has stored.
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    digest = hash_of_rows(rows)
    existing = project.feedback_sets.filter(content_hash=digest).first()
    if existing is None and project.feedback_sets.filter(name=name).exists():
        raise NameTaken(
            _("There is a set named “%(name)s” already, with other votes.") % {"name": name},
            _("Give this one another name: a set is not changed once it is stored."),
        )
    folder = write_rows(rows, SCHEMA, existing, Path(settings.SNAPSHOTS_DIR) / "feedback" / digest)
    if existing:
        return existing, False
    stored = FeedbackSet.objects.create(
        project=project,
        name=name,
        content_hash=digest,
        counts=_counts(rows),
        folder=str(folder),
        created_by=actor,
    )
    votes = [
        Feedback(
            set=stored,
            key=row.key,
            messages=row.messages,
            response=row.response,
            desirable=row.desirable,
            split=row.split,
        )
        for row in rows
    ]
    Feedback.objects.bulk_create(votes, batch_size=500)
    return stored, True
