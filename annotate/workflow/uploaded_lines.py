"""Reads the lines of an uploaded JSONL or CSV file: every row is good, or nothing is taken and each fault is named."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from django.utils.translation import gettext as _

from annotate.workflow.exceptions import LineError, UploadRejected

ROLES = {"system", "user", "assistant"}
SHOWN_ERRORS = 100
# csv's own limit of a cell, 128 KB, is less than a long prompt.
csv.field_size_limit(16 * 2**20)
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
Record = dict[str, Any]
Row = TypeVar("Row")


class Problem(ValueError):
    """One thing wrong with one row."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def read_upload(
    *,
    lines: Iterable[str],
    format: str,
    columns: tuple[str, ...],
    build: Callable[[int, Record], Row],
    empty: str,
    others: tuple[tuple[str, ...], ...] = (),
) -> list[Row]:
    """What `build(line number, record)`, which raises Problem, makes of every line; a CSV file must have `columns`, or
    all those of one of the `others`.

    Raises:
        UploadRejected: at least one line is malformed, and every one (the first hundred) is named; or there is none,
            which `empty` says.
    """
    rows: list[Row] = []
    errors: list[LineError] = []
    for number, record in read_csv(lines, columns, others) if format == "csv" else read_jsonl(lines):
        try:
            if isinstance(record, Problem):
                raise record
            rows.append(build(number, record))
        except Problem as problem:
            errors.append(LineError(number, problem.field, problem.message))
    if not rows and not errors:
        errors = [LineError(0, "", empty)]
    if errors:
        raise UploadRejected(errors[:SHOWN_ERRORS], len(errors))
    return rows


def require_storable(record: Record) -> int:
    """The length of its JSON. Raises Problem."""
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:
        said = _("contains half a character (a lone surrogate) or a number that is none (NaN, Infinity)")
        raise Problem("", said) from error
    if NUL.search(text):
        raise Problem("", _("contains a NUL character, which PostgreSQL does not store"))
    return len(text)


def key_of(record: Record) -> str:
    """The row's own name, empty if it has none."""
    key = record.get("id", "")
    if not isinstance(key, str | int) or len(str(key)) > 150:
        raise Problem("id", _("must be a text of at most 150 characters, or a number"))
    return str(key)


def messages_of(record: Record) -> list[dict[str, str]]:
    """The prompt as chat messages, from `messages` or from the text or chat `prompt`. Raises Problem, also where the
    two are given and say different things."""
    named = "messages" if "messages" in record else "prompt"
    field = next((field for field in ("messages", "prompt") if is_given(record, field)), named)
    turns = turns_of(record, field)
    if turns[-1]["role"] != "user":
        raise Problem(field, _("must end with a turn of the user, since the responses answer it"))
    require_one_prompt(record, turns)
    return turns


def is_given(record: Record, field: str) -> bool:
    """An empty cell of a CSV file, and null, are nothing."""
    return record.get(field) not in (None, "")


def turns_of(record: Record, field: str) -> list[dict[str, str]]:
    """The chat in this field; a text is a turn of the user. Raises Problem."""
    value = record.get(field)
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise Problem(field, _("must be a text or a list of chat messages"))
    for turn in value:
        _check_turn(field, turn)
    return [{"role": turn["role"], "content": turn["content"]} for turn in value]


def require_one_prompt(record: Record, turns: list[dict[str, str]]) -> None:
    """Of a record that has `turns` as its messages: a `prompt` beside them must be how they begin, with or without the
    system's turn, as in the sets that Hugging Face publishes. Raises Problem."""
    if not (is_given(record, "messages") and is_given(record, "prompt")):
        return
    prompt = turns_of(record, "prompt")
    begins = turns if prompt[0]["role"] == "system" else [turn for turn in turns if turn["role"] != "system"]
    if begins[: len(prompt)] != prompt:
        raise Problem("prompt", _("“prompt” and “messages” say different things: keep one of them"))


def response_of(record: Record, fields: tuple[str, ...]) -> str:
    """The one response, which has one of these names, the first where there is none. Raises Problem."""
    given = [field for field in fields if is_given(record, field)]
    if len(given) > 1:
        names = {"one": given[0], "other": given[1]}
        raise Problem(given[1], _("give “%(one)s” or “%(other)s”, not both") % names)
    field = next((field for field in (*given, *fields) if field in record), fields[0])
    value = record.get(field)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0].get("content") if value[0].get("role") == "assistant" else None
    if not isinstance(value, str) or not value.strip():
        raise Problem(field, _("must be a text, or a list of one message of the assistant, and not empty"))
    return value


def tags_and_language(record: Record) -> tuple[list[str], str]:
    tags, language = record.get("tags", []), record.get("language") or ""
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise Problem("tags", _("must be a list of texts"))
    if not isinstance(language, str) or len(language) > 16:
        raise Problem("language", _("must be a language code such as “en” or “zh-hans”"))
    return tags, language


def _check_turn(field: str, turn: Any) -> None:
    if not isinstance(turn, dict) or turn.get("role") not in ROLES:
        raise Problem(field, _("each message needs a “role”: system, user or assistant"))
    if not isinstance(turn.get("content"), str) or not turn["content"].strip():
        raise Problem(field, _("each message needs a “content” that is a text and not empty"))


def read_jsonl(lines: Iterable[str]) -> Iterator[tuple[int, Record | Problem]]:
    begun = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        is_first, begun = not begun, True
        if is_first and line.lstrip("\ufeff \t").startswith("["):
            # Of a list that is laid out over many lines each would be a mistake of its own.
            yield number, Problem("", _("begins a JSON list: JSONL has one object a line (jq -c '.[]' writes it so)"))
            return
        try:
            record = json.loads(line.lstrip("\ufeff"))
        except (ValueError, RecursionError) as error:
            yield number, Problem("", _("not JSON (%(error)s)") % {"error": error})
            continue
        yield number, record if isinstance(record, dict) else Problem("", _("not an object in braces"))


def read_csv(
    lines: Iterable[str], columns: tuple[str, ...], others: tuple[tuple[str, ...], ...] = ()
) -> Iterator[tuple[int, Record | Problem]]:
    reader = csv.DictReader((line.lstrip("\ufeff") for line in lines), strict=True)
    header = reader.fieldnames or []
    for column in () if any(set(other) <= set(header) for other in others) else columns:
        if column not in header:
            yield 1, Problem(column, _("the header has no column “%(column)s”") % {"column": column})
            return
    try:
        for record in reader:
            if None in record or None in record.values():
                yield reader.line_num, Problem("", _("the line has another number of columns than the header"))
                continue
            yield reader.line_num, record
    except csv.Error as error:
        yield reader.line_num, Problem("", _("not CSV (%(error)s)") % {"error": error})
