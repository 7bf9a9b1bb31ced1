"""What a policy wrote while it was trained: the lines of kind "samples" among those of its progress."""

from typing import Any

from django.core.paginator import Page, Paginator

from training.models import Run
from training.workflow.folders import progress_of
from training.workflow.run_lines import sample_lines

STEPS_ON_A_PAGE = 3


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
