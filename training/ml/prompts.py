"""Reads prompts.jsonl: what is to be answered, one prompt a line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.ml.chat import Messages
from training.ml.errors import ModelError
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class Prompt:
    id: int | str
    messages: Messages


def read_prompts(path: Path) -> list[Prompt]:
    """Raises ModelError: "bad_prompts" naming the line, "empty_data"."""
    prompts: dict[int | str, Prompt] = {}
    try:
        # Not splitlines: it also splits at U+2028 and the like, which stand unescaped inside JSON strings.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        said = gettext_noop("The prompts in %(path)s cannot be read: %(error)s.")
        raise _bad(said, path=path, error=error) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        prompt = _prompt(path, number, line)
        if prompt.id in prompts:
            said = gettext_noop("Line %(line)s of %(path)s repeats the prompt %(prompt)s.")
            raise _bad(said, line=number, path=path, prompt=repr(prompt.id))
        prompts[prompt.id] = prompt
    if not prompts:
        raise ModelError(
            "empty_data",
            gettext_noop("There are no prompts in %(path)s."),
            gettext_noop("Choose at least one prompt to sample."),
            path=path,
        )
    return list(prompts.values())


def _prompt(path: Path, number: int, line: str) -> Prompt:
    try:
        raw = json.loads(line)
    except json.JSONDecodeError as error:
        said = gettext_noop("Line %(line)s of %(path)s is not valid JSON: %(error)s.")
        raise _bad(said, line=number, path=path, error=error) from error
    if not isinstance(raw, dict) or not isinstance(raw.get("id"), (int, str)) or not is_chat(raw.get("messages")):
        said = gettext_noop(
            'Line %(line)s of %(path)s is not {"id": ..., "messages": [{"role": ..., "content": ...}, ...]}.'
        )
        raise _bad(said, line=number, path=path)
    return Prompt(raw["id"], raw["messages"])


def is_chat(messages: Any) -> bool:
    """Whether a template can be given it: a list of {"role": text, "content": text}, not empty."""
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(
            isinstance(message, dict)
            and isinstance(message.get("role"), str)
            and isinstance(message.get("content"), str)
            for message in messages
        )
    )


def _bad(message: str, **values: object) -> ModelError:
    hint = gettext_noop("Start the run again from its page, which writes the prompts anew.")
    return ModelError("bad_prompts", message, hint, **values)
