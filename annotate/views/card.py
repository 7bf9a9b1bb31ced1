"""What can stand in the middle of the judging page, as context for its template; `kind` says which."""

import uuid
from typing import Any

from annotate.forms import SkipForm
from annotate.models import Assignment, Degree, GuidelineVersion
from annotate.views.difference import passages
from annotate.workflow.progress import Progress

# What the right wing says beside an empty queue, if it is there: samples may be on their way.
COMING = ["training/_samples_coming.html", "components/nothing.html"]


def card_of(lease: Assignment, progress: Progress) -> dict[str, Any]:
    """A comparison to judge, its responses in the order drawn for this assignment and without their source."""
    comparison = lease.comparison
    texts = [comparison.response_a.text, comparison.response_b.text]
    left, right = reversed(texts) if lease.flipped else texts
    return {
        "kind": "card",
        "assignment": lease,
        "turns": comparison.prompt.messages,
        "language": comparison.prompt.language,
        "left": left,
        "right": right,
        "graded": _graded(lease.asked),
        "client_key": uuid.uuid4(),
        "progress": progress,
        "skip_form": SkipForm(initial={"assignment": lease.pk}),
    }


def _graded(asked: list[Degree]) -> dict[str, Any]:
    """The answers of a card that asks for degrees, each with its digit: keys and buttons both run from the left
    response much better, over the tie in the middle, to the right one much better. Nothing where no degree is asked."""
    if not asked:
        return {}
    n = len(asked)
    return {
        "left": [(f"left-{degree}", degree.label, key) for key, degree in enumerate(reversed(asked), start=1)],
        "tie": n + 1,
        "right": [(f"right-{degree}", degree.label, key) for key, degree in enumerate(asked, start=n + 2)],
    }


def start_card(progress: Progress) -> dict[str, Any]:
    """Something is waiting, but a GET leases nothing: the page asks for it at once, or the person presses a button."""
    return {"kind": "start", "progress": progress}


def all_done(progress: Progress) -> dict[str, Any]:
    return {"kind": "done", "progress": progress, "coming": COMING}


def nothing_to_judge_under() -> dict[str, Any]:
    return {"kind": "no_guideline"}


def guideline_card(version: GuidelineVersion, known: GuidelineVersion | None) -> dict[str, Any]:
    """What changed since the version the person knows; the whole text for somebody who knows none."""
    changes = passages(known.body, version.body) if known else []
    return {"kind": "guideline", "version": version, "known": known, "passages": changes}
