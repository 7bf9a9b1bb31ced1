"""Where a reward model is right and where not, prepared for its page: accuracy by groups of pairs, calibration."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from training.workflow.figures import Figure, figure_of

SHOWN_GROUPS = 12
OTHERS = {
    "margin": gettext_lazy("Margin between chosen and rejected"),
    "disagreement": gettext_lazy("Disagreement of the ensemble: mean deviation of its members’ margins"),
    "loss": gettext_lazy("Held-out loss"),
}
CALIBRATION = {
    "ece": gettext_lazy("Expected calibration error"),
    "ece_if_calibrated": gettext_lazy("The same error of a model that is calibrated, by chance alone"),
    "brier": gettext_lazy("Brier score (a coin has 0.25)"),
}
LENGTHS = {
    "accuracy_similar_length": gettext_lazy("lengths differ by a tenth at most"),
    "accuracy_length_controlled": gettext_lazy("length held fixed: mean of “chosen is longer” and “chosen is shorter”"),
}
STRENGTHS = {
    "strong": gettext_lazy("strong: much better, or votes clearer than 5 to 1"),
    "medium": gettext_lazy("medium: better, or votes up to 5 to 1"),
    "weak": gettext_lazy("weak: slightly better, or votes up to 2 to 1"),
}
VOTES = {
    "unanimous": gettext_lazy("everybody chose the same"),
    "split": gettext_lazy("votes were split"),
}
NEW = gettext_lazy("judged by nobody who judged a training pair")
HELD_OUT = ngettext_lazy(
    "of the test prompts, by the votes of the %(people)s annotator held out alone",
    "of the test prompts, by the votes of the %(people)s annotators held out alone",
    "people",
)
CEILING = {
    "model": gettext_lazy("the model against all votes"),
    "model_as_annotator": gettext_lazy("the model in an annotator’s place, against the others"),
}


@dataclass(frozen=True)
class Group:
    """Rows of one kind; where none of them has a value for the same reason, there are no rows, and a note."""

    title: str
    rows: list[Figure]
    note: str = ""


@dataclass(frozen=True)
class Bin:
    """Pairs of like confidence; shares from 0 to 1, `right` with its interval."""

    low: float
    high: float
    confidence: float
    right: float
    right_low: float
    right_high: float
    n: int


@dataclass(frozen=True)
class RewardDetails:
    groups: list[Group]
    bins: list[Bin] = field(default_factory=list)
    others: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def reward_details(metrics: dict[str, Any]) -> RewardDetails | None:
    """From a manifest's metrics, those of an earlier version included, which have fewer; None where not even the
    accuracy is known."""
    accuracy = metrics.get("accuracy")
    if not isinstance(accuracy, dict) or accuracy.get("value") is None:
        return None
    calibration = metrics.get("calibration") or {}
    others = _rows(OTHERS, metrics.get) + _rows(CALIBRATION, calibration.get)
    notes = _notes(metrics)
    return RewardDetails(_groups(metrics, notes), [_bin(one) for one in calibration.get("bins") or []], others, notes)


def _groups(metrics: dict[str, Any], notes: list[str]) -> list[Group]:
    ceiling = metrics.get("human_ceiling") or {}
    by_vote, by_strength = _by_name(metrics, "by_votes"), _by_name(metrics, "by_strength")
    held_out = (metrics.get("accuracy_new_annotators") or {}).get("people")
    new = {"accuracy_new_annotators": NEW if held_out is None else HELD_OUT % {"people": held_out}}
    groups = [
        _group(_("Length"), _rows(LENGTHS, metrics.get, "accuracy")),
        _group(_("Strength of the preference"), _rows(STRENGTHS, by_strength.get, "accuracy")),
        _group(_("Votes"), _rows(VOTES, by_vote.get, "accuracy")),
        _group(_("Pairs of the human ceiling"), _rows(CEILING, ceiling.get, "accuracy")),
        _group(_("Annotators"), _rows(new, metrics.get, "accuracy")),
        _group(_("Tag"), _named(metrics, "by_tag", notes)),
        _group(_("Language"), _named(metrics, "by_language", notes)),
    ]
    return [group for group in groups if group.rows or group.note]


def _rows(labels: dict[str, Promise], metric: Callable[[str], dict[str, Any] | None], kind: str = "") -> list[Figure]:
    """A row of each label whose metric is there; `kind` is the name by which the page knows a share from a number."""
    found = ((name, label, metric(name)) for name, label in labels.items())
    return [figure_of(kind or name, str(label), one) for name, label, one in found if one is not None]


def _by_name(metrics: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in metrics.get(kind) or []}


def _named(metrics: dict[str, Any], kind: str, notes: list[str]) -> list[Figure]:
    """Groups that have their names from the data, the largest first."""
    every = metrics.get(kind) or []
    if (left := len(every) - SHOWN_GROUPS) > 0:
        said = ngettext(
            "%(n)s smaller group is not shown; the manifest has all.",
            "%(n)s smaller groups are not shown; the manifest has all.",
            left,
        )
        notes.append(said % {"n": left})
    return [figure_of("accuracy", str(one["name"]), one) for one in every[:SHOWN_GROUPS]]


def _group(title: str, rows: list[Figure]) -> Group:
    said = {row.note for row in rows}
    if rows and all(row.value is None for row in rows) and len(said) == 1:
        return Group(title, [], said.pop())
    return Group(title, rows)


def _bin(one: dict[str, Any]) -> Bin:
    return Bin(
        low=one["low"],
        high=one["high"],
        confidence=one["confidence"],
        right=one["accuracy"],
        right_low=one["accuracy_low"],
        right_high=one["accuracy_high"],
        n=one["n"],
    )


def _notes(metrics: dict[str, Any]) -> list[str]:
    ceiling = metrics.get("human_ceiling") or {}
    if ceiling.get("value") is None or not ceiling.get("two_votes"):
        return []
    facts = {"two": ceiling["two_votes"], "n": ceiling["n"]}
    said = _(
        "%(two)s of the %(n)s pairs of the human ceiling have two votes, which always agree: had they been split, the "
        "pair would not be in the data. By so much the ceiling is too high."
    )
    return [said % facts]
