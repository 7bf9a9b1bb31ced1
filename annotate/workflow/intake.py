"""Intake: prompts from a file, responses, and the comparisons made of them."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotate.models import Batch, Comparison, Project, Prompt, Response
from annotate.workflow.foreign_forms import with_turns
from annotate.workflow.uploaded_lines import (
    Problem,
    Record,
    key_of,
    messages_of,
    read_upload,
    require_storable,
    tags_and_language,
)

KNOWN_FIELDS = {"id", "prompt", "messages", "tags", "language"}


@dataclass(frozen=True)
class ImportReport:
    """What an upload did: prompts stored, and prompts that were there already (same content)."""

    created: int
    unchanged: int


def import_prompts(*, project: Project, lines: Iterable[str], format: str = "jsonl") -> ImportReport:
    """Store the prompts of a JSONL or CSV text, all or nothing.

    JSONL: {"id"?, "messages": [{"role", "content"}, ...] or "prompt": text, "tags"?: [text], "language"?};
    other keys are kept as metadata. CSV: a header with `prompt`, and optionally id, tags (separated by ;), language
    and others.

    Raises:
        UploadRejected: at least one line is malformed; every one (the first hundred) is named.
    """
    rows = read_upload(
        lines=lines,
        format=format,
        columns=("prompt",),
        build=_reader(format),
        empty=_("There is no prompt in the file."),
    )
    return _store(project, rows)


def content_hash(messages: list[dict[str, str]]) -> str:
    return hashlib.sha256(json.dumps(messages, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def open_batch(*, project: Project, name: str, round_number: int | None = None) -> Batch:
    batch, _created = Batch.objects.get_or_create(project=project, name=name, defaults={"round_number": round_number})
    return batch


def store_response(
    *, prompt: Prompt, text: str, source: str, key: str, metadata: dict[str, Any] | None = None
) -> Response:
    """Idempotent by (prompt, key)."""
    response, _created = Response.objects.get_or_create(
        prompt=prompt, key=key, defaults={"text": text, "source": source, "metadata": metadata or {}}
    )
    return response


@transaction.atomic
def store_prompt(*, project: Project, messages: list[dict[str, str]], key: str, tags: list[str]) -> Prompt:
    """Idempotent by content: a prompt that the project has already keeps its key and its tags."""
    _lock(project)
    found = content_hash(messages)
    fields = {"messages": messages, "key": f"{key}-{found[:12]}", "tags": tags}
    prompt, _created = Prompt.objects.get_or_create(project=project, content_hash=found, defaults=fields)
    return prompt


def compare(
    *,
    batch: Batch,
    prompt: Prompt,
    response_a: Response,
    response_b: Response,
    key: str,
    metadata: dict[str, Any] | None = None,
) -> Comparison | None:
    """Put a pair into the queue; idempotent by key. None for two identical texts: there is nothing to compare."""
    if response_a.text == response_b.text:
        return None
    comparison, _created = Comparison.objects.get_or_create(
        project=batch.project,
        key=key,
        defaults={
            "batch": batch,
            "prompt": prompt,
            "response_a": response_a,
            "response_b": response_b,
            "overlap": lambda: _overlap_now(batch.project_id),
            "metadata": metadata or {},
        },
    )
    return comparison


def _overlap_now(project_id: int) -> int:
    """Not as a batch that has been in hand for hours remembers it. A change of it waits until the pair is stored, and
    then finds the pair; `no_key` lets others refer to the project meanwhile."""
    locked = Project.objects.select_for_update(no_key=True).filter(pk=project_id)
    return locked.values_list("overlap", flat=True).get()


def _lock(project: Project) -> None:
    """Whoever stores prompts at the same time waits, and then finds these."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


@transaction.atomic
def _store(project: Project, rows: list[Prompt]) -> ImportReport:
    _lock(project)
    existing = set(project.prompts.values_list("content_hash", flat=True))
    keys = set(project.prompts.values_list("key", flat=True))
    new = [row for row in rows if row.content_hash not in existing]
    for row in new:
        row.project = project
        # A key that another prompt of the project has already gets the content's own name.
        row.key = row.key if row.key and row.key not in keys else f"{row.key or 'prompt'}-{row.content_hash[:12]}"
        keys.add(row.key)
    Prompt.objects.bulk_create(new, batch_size=500)
    return ImportReport(created=len(new), unchanged=len(rows) - len(new))


def _reader(format: str) -> Callable[[int, Record], Prompt]:
    lines_of: dict[str, int] = {}

    def build(number: int, record: Record) -> Prompt:
        prompt = _prompt(_tags_apart(record) if format == "csv" else record)
        if (first := lines_of.setdefault(prompt.content_hash, number)) != number:
            raise Problem("messages", _("the same prompt as in line %(line)s") % {"line": first})
        return prompt

    return build


def _tags_apart(record: Record) -> Record:
    tags = [tag.strip() for tag in (record.get("tags") or "").split(";") if tag.strip()]
    return {**record, "tags": tags}


def _prompt(record: Record) -> Prompt:
    require_storable(record)
    messages = messages_of(with_turns(record))
    tags, language = tags_and_language(record)
    rest = {name: value for name, value in record.items() if name not in KNOWN_FIELDS}
    return Prompt(
        key=key_of(record),
        messages=messages,
        content_hash=content_hash(messages),
        tags=tags,
        language=language,
        metadata=rest,
    )
