"""Demonstrations: prompts with a response to imitate, uploaded as a set, split by prompt, hashed."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.models import Demonstration, DemonstrationSet, Project, Split, User
from annotate.workflow.demonstration_forms import OTHER_COLUMNS, Form, demonstration_of
from annotate.workflow.exceptions import NameTaken, WorkflowError
from annotate.workflow.intake import content_hash
from annotate.workflow.parquet_folder import MESSAGE
from annotate.workflow.snapshots import split_of
from annotate.workflow.uploaded_lines import Problem, Record, key_of, read_upload, require_storable
from annotate.workflow.uploaded_sets import hash_of_rows, require_share, write_rows

LONGEST_NAME = 120
SPLIT_SEED = 0
SCHEMA = pa.schema([("id", pa.string()), ("prompt", pa.list_(MESSAGE)), ("response", pa.list_(MESSAGE))])


@dataclass(frozen=True)
class Row:
    """One line of an upload."""

    form: Form
    key: str
    messages: list[dict[str, str]]
    response: str
    split: Split

    def canonical(self) -> dict[str, Any]:
        """What is hashed and written; only content, no ids of this database."""
        response = [{"role": "assistant", "content": self.response}]
        return {"id": self.key, "prompt": self.messages, "response": response}


class StoredDemonstrations(NamedTuple):
    """`created` is False where the set was there already; `forms` counts the lines by the form they were read in."""

    set: DemonstrationSet
    created: bool
    forms: dict[Form, int]


def import_demonstrations(
    *,
    project: Project,
    name: str,
    lines: Iterable[str],
    format: str = "jsonl",
    test_share: float = 0.2,
    actor: User | None = None,
) -> StoredDemonstrations:
    """Store a JSONL or CSV text as a set, all or nothing; and whether it is new: the same content is the same set.

    JSONL, line by line in one of these forms, each with an optional id; other keys are not kept:
    {"prompt": text or chat, or "messages": chat, "response" or "completion": text or a chat of one turn},
    {"messages": a chat that ends with the assistant}, {"instruction", "input"?, "output", "system"?, "history"?},
    {"conversations": ShareGPT's turns, of which the last one is the assistant's, "system"?}.
    CSV: a header with `prompt` and `response` or `completion`, or with `instruction` and `output`.

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
        columns=("prompt", "response"),
        others=OTHER_COLUMNS,
        build=_reader(test_share),
        empty=_("There is no demonstration in the file."),
    )
    rows.sort(key=lambda row: row.key)
    if all(row.split == Split.TEST for row in rows):
        raise WorkflowError(
            ngettext(
                "%(n)s demonstration fell into the test split: nothing is left to train on.",
                "All %(n)s demonstrations fell into the test split: nothing is left to train on.",
                len(rows),
            )
            % {"n": len(rows)},
            _("Lower the test share, or upload more demonstrations."),
        )
    return StoredDemonstrations(*_store(project, name, rows, actor), dict(Counter(row.form for row in rows)))


def _check_request(name: str, test_share: float) -> None:
    if not name or len(name) > LONGEST_NAME:
        raise WorkflowError(
            _("A set of demonstrations needs a name of 1 to %(n)s characters.") % {"n": LONGEST_NAME},
            _("Name it after what it shows or where it comes from."),
        )
    require_share(test_share)


def _reader(test_share: float) -> Callable[[int, Record], Row]:
    lines_of: dict[tuple[str, str], int] = {}
    lines_of_keys: dict[str, int] = {}

    def build(number: int, record: Record) -> Row:
        row = _row(record, test_share)
        if (first := lines_of.setdefault((json.dumps(row.messages), row.response), number)) != number:
            raise Problem("response", _("the same demonstration as in line %(line)s") % {"line": first})
        if (first := lines_of_keys.setdefault(row.key, number)) != number:
            raise Problem("id", _("the same id as in line %(line)s") % {"line": first})
        return row

    return build


def _row(record: Record, test_share: float) -> Row:
    require_storable(record)
    form, messages, response = demonstration_of(record)
    prompt = content_hash(messages)
    named = hashlib.sha256(f"{prompt}\n{response}".encode()).hexdigest()[:12]
    key = key_of(record) or f"demonstration-{named}"
    return Row(form, key, messages, response, split_of(prompt, test_share, SPLIT_SEED))


@transaction.atomic
def _store(project: Project, name: str, rows: list[Row], actor: User | None) -> tuple[DemonstrationSet, bool]:
    # Two uploads at once: the second one waits, and finds what the first has stored.
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    digest = hash_of_rows(rows)
    existing = project.demonstration_sets.filter(content_hash=digest).first()
    if existing is None and project.demonstration_sets.filter(name=name).exists():
        raise NameTaken(
            _("There is a set named “%(name)s” already, with other demonstrations.") % {"name": name},
            _("Give this one another name: a set is not changed once it is stored."),
        )
    folder = write_rows(rows, SCHEMA, existing, Path(settings.SNAPSHOTS_DIR) / "demonstrations" / digest)
    if existing:
        return existing, False
    stored = DemonstrationSet.objects.create(
        project=project,
        name=name,
        content_hash=digest,
        counts={str(split): sum(row.split == split for row in rows) for split in Split},
        folder=str(folder),
        created_by=actor,
    )
    demonstrations = [
        Demonstration(set=stored, key=row.key, messages=row.messages, response=row.response, split=row.split)
        for row in rows
    ]
    Demonstration.objects.bulk_create(demonstrations, batch_size=500)
    return stored, True
