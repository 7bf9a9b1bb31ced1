"""What can stand in the middle of the adjudication page, as context for its template; `kind` says which."""

import uuid
from typing import Any

from django.utils.http import urlencode

from annotate.forms import BadItemForm
from annotate.models import Comparison, GuidelineVersion, Project, User, Verdict
from annotate.views.card import guideline_card
from annotate.workflow.adjudication import draw_flipped, skipped
from annotate.workflow.disputes import DisputeFilters, count_decided, count_undecided
from annotate.workflow.guidelines import last_read_version
from annotate.workflow.judging import side_of_choice


def case_of(comparison: Comparison, adjudicator: User, filters: DisputeFilters, *, reveal: bool) -> dict[str, Any]:
    """A comparison to decide, blind and in the order drawn for this person; its votes once they are asked for. What has
    been decided before shows them at once: its history would tell them anyway."""
    flipped = draw_flipped(comparison, adjudicator)
    history = list(comparison.adjudications.select_related("adjudicator", "guideline_version").order_by("-revision"))
    for word in history:
        word.side = side_of_choice(Verdict(word.verdict).choice, flipped=flipped)
    last = history[0] if history else None
    texts = [comparison.response_a.text, comparison.response_b.text]
    left, right = reversed(texts) if flipped else texts
    return {
        "kind": "case",
        "comparison": comparison,
        "turns": comparison.prompt.messages,
        "language": comparison.prompt.language,
        "left": left,
        "right": right,
        "client_key": uuid.uuid4(),
        "history": history,
        "revision": last.revision if last else 0,
        "decided": last if last and last.verdict != Verdict.WITHDRAWN else None,
        "is_mine": comparison.judgments.current().filter(annotator=adjudicator).exists(),
        "bad_form": BadItemForm(auto_id="bad_%s"),
        "votes": _votes(comparison, flipped) if reveal or last else None,
        "skips": skipped(comparison).select_related("annotator") if not comparison.judged else [],
        # A bad item needs no votes; a side does.
        "can_choose": comparison.judged or last,
        **frame_of(comparison.project, filters),
    }


def nothing_left(project: Project, filters: DisputeFilters) -> dict[str, Any]:
    return {"kind": "done", **frame_of(project, filters)}


def unread_guideline(
    version: GuidelineVersion, comparison: Comparison, user: User, filters: DisputeFilters
) -> dict[str, Any]:
    known = last_read_version(comparison.project, user)
    return {**guideline_card(version, known), "comparison": comparison, **frame_of(comparison.project, filters)}


def frame_of(project: Project, filters: DisputeFilters) -> dict[str, Any]:
    return {
        "project": project,
        "filters": filters,
        "carried": urlencode(filters.given()),
        "undecided": count_undecided(project),
        "decided_count": count_decided(project),
    }


def _votes(comparison: Comparison, flipped: bool) -> dict[str, Any]:
    """Each one, and how many stand for the response on either side; surplus votes are shown and not counted."""
    rows = list(comparison.judgments.current().select_related("annotator", "guideline_version").order_by("id"))
    for row in rows:
        row.side = side_of_choice(row.choice, flipped=flipped)
    sides = [row.side for row in rows if not row.is_surplus]
    return {"rows": rows, **{side: sides.count(side) for side in ("left", "tie", "right")}}
