"""Writes notices.jsonl: what a person should know of a run that goes on all the same."""

from __future__ import annotations

import json
from pathlib import Path


class Notices:
    """A file of its own, because a thread writes it while the recipe may be replacing progress.jsonl."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notices.jsonl"
        self.said: set[tuple[str, str]] = set()

    def forget(self) -> None:
        """Those of an earlier attempt may be mended."""
        self.path.unlink(missing_ok=True)

    def say(self, template: str, **values: str) -> None:
        """`template` is marked with gettext_noop, and told in the reader's language. Of one tracker it is said once."""
        if (about := (template, values.get("tracker", ""))) in self.said:
            return
        row = {"text": template % values if values else template, "template": template, "values": values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.said.add(about)
