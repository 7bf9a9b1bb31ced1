"""Reads prompts.jsonl: what is to be answered, one prompt a line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.ml.chat import Messages
from training.ml.errors import ModelError


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
        raise _bad(f"The prompts in {path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        prompt = _prompt(path, number, line)
        if prompt.id in prompts:
            raise _bad(f"Line {number} of {path} repeats the prompt {prompt.id!r}.")
        prompts[prompt.id] = prompt
    if not prompts:
        raise ModelError("empty_data", f"There are no prompts in {path}.", "Choose at least one prompt to sample.")
    return list(prompts.values())


def _prompt(path: Path, number: int, line: str) -> Prompt:
    try:
        raw = json.loads(line)
    except json.JSONDecodeError as error:
        raise _bad(f"Line {number} of {path} is not valid JSON: {error}.") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("id"), (int, str)) or not _chat(raw.get("messages")):
        raise _bad(f'Line {number} of {path} is not {{"id": ..., "messages": [{{"role": ..., "content": ...}}, ...]}}.')
    return Prompt(raw["id"], raw["messages"])


def _chat(messages: Any) -> bool:
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


def _bad(message: str) -> ModelError:
    return ModelError("bad_prompts", message, "Start the run again from its page, which writes the prompts anew.")
