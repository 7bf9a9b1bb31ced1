"""The mailbox of a playground: a folder for each request in the run's folder, each file in it renamed into place.

The web process and the training process share nothing but these files, so both read them by what stands here."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

FORMAT = 1
CHAT, SCORE = "chat", "score"
# Whose answer a file holds: a model's, or the reward model's.
FIRST, SECOND = "first", "second"
REQUEST, STOP = "request.json", "stop"
# Characters of one message or scored text: far more than a context holds, far less than a page can show.
LONGEST = 50_000


class Unreadable(ValueError):
    """A file that no process of ours has written so."""


class Mailbox:
    """Requests count from 1. A folder is made by whoever posts, so that two never get one number; its request appears
    in it whole."""

    def __init__(self, run_folder: Path) -> None:
        self.folder = run_folder / "mailbox"

    def post(self, request: dict[str, Any]) -> int:
        """The number of the request."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = max(self._folders(), default=0) + 1
        while True:
            try:
                self._of(number).mkdir()
                break
            except FileExistsError:  # somebody else was faster
                number += 1
        _write(self._of(number) / REQUEST, {"format": FORMAT, **request})
        return number

    def numbers(self) -> list[int]:
        """Of the requests that are there, in their order."""
        return sorted(number for number in self._folders() if (self._of(number) / REQUEST).is_file())

    def request(self, number: int) -> dict[str, Any]:
        """Raises Unreadable."""
        found = _read(self._of(number) / REQUEST)
        if found is None or found.get("format") != FORMAT:
            raise Unreadable(f"request {number} is not of format {FORMAT}")
        return found

    def answer(self, number: int, part: str) -> dict[str, Any] | None:
        """`done` says whether more is to come; None before its first word. Raises Unreadable."""
        return _read(self._of(number) / f"{part}.json")

    def write_answer(self, number: int, part: str, answer: dict[str, Any]) -> None:
        _write(self._of(number) / f"{part}.json", answer)

    def is_done(self, number: int, part: str) -> bool:
        """One that cannot be read is not: it is made again."""
        try:
            found = self.answer(number, part)
        except Unreadable:
            return False
        return bool(found and found.get("done"))

    def ask_to_stop(self, number: int) -> None:
        """What has been written so far is the answer."""
        (self._of(number) / STOP).touch()

    def is_to_stop(self, number: int) -> bool:
        return (self._of(number) / STOP).exists()

    def _folders(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return [int(name) for name in os.listdir(self.folder) if name.isascii() and name.isdigit()]

    def _of(self, number: int) -> Path:
        return self.folder / f"{number:06d}"


def _write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not there. ASCII, so that half a character, which no encoding takes, does not end the process."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(_finite(content), ensure_ascii=True, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable(f"{path} holds no object")
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
