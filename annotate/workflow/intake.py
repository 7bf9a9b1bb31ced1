"""Intake: prompts from a file, responses, and the comparisons made of them."""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotate.models import Batch, Comparison, Project, Prompt, Response
from annotate.workflow.exceptions import LineError, UploadRejected

ROLES = {"system", "user", "assistant"}
SHOWN_ERRORS = 100
KNOWN_FIELDS = {"id", "prompt", "messages", "tags", "language"}


@dataclass(frozen=True)
class ImportReport:
    """What an upload did: prompts stored, and prompts that were there already (same content)."""

    created: int
    unchanged: int


class _Problem(ValueError):
    """One thing wrong with one row."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def import_prompts(*, project: Project, lines: Iterable[str], format: str = "jsonl") -> ImportReport:
    """Store the prompts of a JSONL or CSV text, all or nothing.

    JSONL: {"id"?, "messages": [{"role", "content"}, ...] or "prompt": text, "tags"?: [text], "language"?};
    other keys are kept as metadata. CSV: a header with `prompt`, and optionally id, tags (separated by ;), language
    and others.

    Raises:
        UploadRejected: at least one line is malformed; every one (the first hundred) is named.
    """
    rows, errors = _checked(_read_csv(lines) if format == "csv" else _read_jsonl(lines))
    if not rows and not errors:
        errors = [LineError(0, "", _("There is no prompt in the file."))]
    if errors:
        raise UploadRejected(errors[:SHOWN_ERRORS], len(errors))
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


def compare(*, batch: Batch, prompt: Prompt, response_a: Response, response_b: Response, key: str) -> Comparison | None:
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
            "overlap": batch.project.overlap,
        },
    )
    return comparison


@transaction.atomic
def _store(project: Project, rows: list[Prompt]) -> ImportReport:
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


def _checked(raw: Iterator[tuple[int, dict[str, Any] | _Problem]]) -> tuple[list[Prompt], list[LineError]]:
    rows: list[Prompt] = []
    errors: list[LineError] = []
    lines_of: dict[str, int] = {}
    for number, record in raw:
        try:
            if isinstance(record, _Problem):
                raise record
            prompt = _prompt(record)
            if (first := lines_of.setdefault(prompt.content_hash, number)) != number:
                raise _Problem("messages", _("the same prompt as in line %(line)s") % {"line": first})
        except _Problem as problem:
            errors.append(LineError(number, problem.field, problem.message))
        else:
            rows.append(prompt)
    return rows, errors


def _read_jsonl(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | _Problem]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.lstrip("\ufeff"))
        except ValueError as error:
            yield number, _Problem("", _("not JSON (%(error)s)") % {"error": error})
            continue
        yield number, record if isinstance(record, dict) else _Problem("", _("not an object in braces"))


def _read_csv(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | _Problem]]:
    reader = csv.DictReader((line.lstrip("\ufeff") for line in lines), strict=True)
    if "prompt" not in (reader.fieldnames or []):
        yield 1, _Problem("prompt", _("the header has no column “prompt”"))
        return
    try:
        for record in reader:
            if None in record or None in record.values():
                yield reader.line_num, _Problem("", _("the line has another number of columns than the header"))
                continue
            tags = [tag.strip() for tag in (record.pop("tags", "") or "").split(";") if tag.strip()]
            yield reader.line_num, {**record, "tags": tags}
    except csv.Error as error:
        yield reader.line_num, _Problem("", _("not CSV (%(error)s)") % {"error": error})


def _prompt(record: dict[str, Any]) -> Prompt:
    if "\\u0000" in json.dumps(record):
        raise _Problem("", _("contains a NUL character, which PostgreSQL does not store"))
    messages = _messages(record)
    tags, language, key = record.get("tags", []), record.get("language") or "", record.get("id", "")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise _Problem("tags", _("must be a list of texts"))
    if not isinstance(language, str) or len(language) > 16:
        raise _Problem("language", _("must be a language code such as “en” or “zh-hans”"))
    if not isinstance(key, str | int) or len(str(key)) > 150:
        raise _Problem("id", _("must be a text of at most 150 characters, or a number"))
    rest = {name: value for name, value in record.items() if name not in KNOWN_FIELDS}
    return Prompt(
        key=str(key),
        messages=messages,
        content_hash=content_hash(messages),
        tags=tags,
        language=language,
        metadata=rest,
    )


def _messages(record: dict[str, Any]) -> list[dict[str, str]]:
    field = "messages" if "messages" in record else "prompt"
    value = record.get(field)
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise _Problem(field, _("must be a text or a list of chat messages"))
    for turn in value:
        _check_turn(field, turn)
    if value[-1]["role"] != "user":
        raise _Problem(field, _("must end with a turn of the user, since the responses answer it"))
    return [{"role": turn["role"], "content": turn["content"]} for turn in value]


def _check_turn(field: str, turn: Any) -> None:
    if not isinstance(turn, dict) or turn.get("role") not in ROLES:
        raise _Problem(field, _("each message needs a “role”: system, user or assistant"))
    if not isinstance(turn.get("content"), str) or not turn["content"].strip():
        raise _Problem(field, _("each message needs a “content” that is a text and not empty"))
