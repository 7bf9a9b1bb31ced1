"""What a policy wrote while it was trained: the lines of kind "samples" among those of its progress."""

from pathlib import Path
from typing import Any

from django.core.paginator import Page, Paginator

from training.models import Run
from training.views.run_files import parse
from training.workflow.folders import progress_of
from training.workflow.storable import storable

STEPS_ON_A_PAGE = 3
MARK = b'"samples"'


def samples_over_time(run: Run, number: str | None = None) -> Page | None:
    """A page of {"step", "samples": [{"prompt", "text", "reward"}]}, oldest first; the newest unless one is asked for.
    None where none is written yet. A reward has what was learned from it."""
    rows = sample_lines(progress_of(run))
    if not rows:
        return None
    pages = Paginator(rows, STEPS_ON_A_PAGE)
    return pages.get_page(number or pages.num_pages)


def newest_samples(run: Run) -> dict[str, Any] | None:
    rows = sample_lines(progress_of(run))
    return rows[-1] if rows else None


def sample_lines(path: Path) -> list[dict[str, Any]]:
    """Only the lines that may be of this kind are parsed: the others are many."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        found = b"".join(line for line in file if MARK in line and line.endswith(b"\n"))
    return [row for row in map(storable, parse(found)) if row.get("kind") == "samples" and _is_whole(row)]


def _is_whole(row: dict[str, Any]) -> bool:
    samples = row.get("samples")
    return isinstance(samples, list) and all(
        isinstance(sample, dict) and isinstance(sample.get("text"), str) and isinstance(sample.get("prompt"), list)
        for sample in samples
    )
