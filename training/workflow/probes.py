"""Probes: sets of questions with choices, uploaded all or nothing, and deleted; and the one that is shipped."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotate.models import Project, User
from annotate.workflow.uploaded_lines import Problem, Record, messages_of, read_upload, require_storable
from training.models import ProbeSet
from training.workflow.exceptions import BadInput, NameTaken

PACKAGE = Path(__file__).parent.parent / "probes"
# Its name in results. It is data there, and not translated.
SHIPPED = "Plumbline"
LONGEST_NAME, LONGEST_TAG = 120, 60
# A policy of 135 million parameters reads some 2,000 questions in ten minutes on two CPU cores.
MOST_QUESTIONS = 5000
MOST_CHOICES = 20
Row = dict[str, Any]


@dataclass(frozen=True)
class Probes:
    """A set, wherever it comes from."""

    name: str
    content_hash: str
    rows: list[Row]


def import_probes(
    *, project: Project, name: str, lines: Iterable[str], actor: User | None = None
) -> tuple[ProbeSet, bool]:
    """Store a JSONL text as a set, all or nothing; and whether it is new: the same content is the same set.

    A line: {"question": text or [{"role", "content"}, ...], "choices": [text, ...], "answer": index from 0,
    "tag"?: text}; other keys are not kept.

    Raises:
        UploadRejected: at least one line is malformed; every one (the first hundred) is named.
        NameTaken: another set of the project has this name.
        BadInput: no name, or more questions than a run should be kept waiting by.
    """
    name = name.strip()
    _check_name(name)
    rows = read_upload(
        lines=lines, format="jsonl", columns=(), build=_reader(), empty=_("There is no question in the file.")
    )
    if len(rows) > MOST_QUESTIONS:
        raise BadInput(
            _("The file has %(n)s questions; a set may have %(most)s.") % {"n": len(rows), "most": MOST_QUESTIONS},
            _("Every policy is asked all of them, twice. Upload a part of them."),
            where="file",
        )
    return _store(project, name, rows, actor)


def delete_probes(probes: ProbeSet) -> None:
    """Later runs are not measured on it; results that there are keep its name and their figures."""
    probes.delete()


@cache
def shipped_probes() -> Probes:
    lines = (PACKAGE / "probes.jsonl").read_text(encoding="utf-8").split("\n")
    rows = read_upload(lines=lines, format="jsonl", columns=(), build=_reader(), empty="")
    return Probes(SHIPPED, hash_of(rows), rows)


def hash_of(rows: list[Row]) -> str:
    """Over content alone, whatever the name."""
    digest = hashlib.sha256(b'{"format": 1}')
    for row in rows:
        digest.update(b"\n" + json.dumps(row, sort_keys=True, ensure_ascii=False).encode())
    return digest.hexdigest()


def _check_name(name: str) -> None:
    if not name or len(name) > LONGEST_NAME or name == SHIPPED:
        raise BadInput(
            _("A set of probes needs a name of 1 to %(n)s characters, other than “%(shipped)s”.")
            % {"n": LONGEST_NAME, "shipped": SHIPPED},
            _("Name it after what it asks for."),
            where="name",
        )


def _reader() -> Callable[[int, Record], Row]:
    lines_of: dict[str, int] = {}

    def build(number: int, record: Record) -> Row:
        row = _row(record)
        asked = json.dumps([row["messages"], sorted(row["choices"])])
        if (first := lines_of.setdefault(asked, number)) != number:
            raise Problem("question", _("the same question as in line %(line)s") % {"line": first})
        return row

    return build


def _row(record: Record) -> Row:
    require_storable(record)
    return {
        "messages": _asked(record),
        "choices": _choices(record),
        "answer": _answer(record),
        "tag": _tag(record),
    }


def _asked(record: Record) -> list[dict[str, str]]:
    if "question" not in record:
        raise Problem("question", _("must be a text or a list of chat messages"))
    try:
        return messages_of({"prompt": record["question"]})
    except Problem as problem:
        raise Problem("question", problem.message) from problem


def _choices(record: Record) -> list[str]:
    choices = record.get("choices")
    if not isinstance(choices, list) or not 2 <= len(choices) <= MOST_CHOICES:
        raise Problem("choices", _("must be a list of 2 to %(n)s texts") % {"n": MOST_CHOICES})
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise Problem("choices", _("each must be a text and not empty"))
    if len(set(choices)) < len(choices):
        raise Problem("choices", _("two of them are the same"))
    return choices


def _answer(record: Record) -> int:
    """Bool is an int in Python; a letter or a number from 1 would be a guess."""
    answer, n = record.get("answer"), len(record["choices"])
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < n:
        raise Problem(
            "answer", _("must be the place of the right choice, a whole number from 0 to %(n)s") % {"n": n - 1}
        )
    return answer


def _tag(record: Record) -> str:
    tag = record.get("tag") or ""
    if not isinstance(tag, str) or len(tag) > LONGEST_TAG:
        raise Problem("tag", _("must be a text of at most %(n)s characters") % {"n": LONGEST_TAG})
    return tag.strip()


@transaction.atomic
def _store(project: Project, name: str, rows: list[Row], actor: User | None) -> tuple[ProbeSet, bool]:
    # Two uploads at once: the second one waits, and finds what the first has stored.
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    digest = hash_of(rows)
    if existing := project.probe_sets.filter(content_hash=digest).first():
        return existing, False
    if project.probe_sets.filter(name=name).exists():
        raise NameTaken(
            _("There is a set named “%(name)s” already, with other questions.") % {"name": name},
            _("Give this one another name: a set is not changed once it is stored."),
            where="name",
        )
    fields = {"content_hash": digest, "size": len(rows), "rows": rows, "created_by": actor}
    return ProbeSet.objects.create(project=project, name=name, **fields), True
