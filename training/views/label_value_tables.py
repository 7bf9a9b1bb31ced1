"""Parts of the page on the value of labels: the advice in words, the curve of right labels, and all numbers as rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.statistics.estimate import Estimate
from annotate.statistics.intervals import wilson_interval


@dataclass(frozen=True)
class Advice:
    """What `more` judgments of each comparison bring: the best number, or one where it says stop. `cost` counts them;
    the threshold is the gain that one would have to bring."""

    verdict: str
    more: int
    gain: Estimate
    cost: int
    threshold_of_one: float


@dataclass(frozen=True)
class LabelsWith:
    """Labels with `votes` judgments a comparison; `expected` where they have not been made yet."""

    votes: int
    accuracy: Estimate
    entropy: float
    expected: bool


def advice_of(report: dict[str, Any]) -> Advice | None:
    found = report["advice"]
    if found is None:
        return None
    rows = {row["more"]: row["gain"] for row in report["more"]}
    more = found["more"] or 1
    return Advice(
        verdict=_verdicts(more)[found["verdict"]],
        more=more,
        gain=Estimate(**rows[more]),
        cost=more * report["n_comparisons"],
        threshold_of_one=1 / report["worth"],
    )


@dataclass(frozen=True)
class GainWith:
    """What `more` judgments of each comparison cost in all, and bring; `price` in judgments a right label."""

    more: int
    cost: int
    gain: Estimate
    price: float | None


def gains_of(found: dict[str, Any]) -> list[GainWith]:
    return [
        GainWith(
            row["more"],
            row["more"] * found["n_comparisons"],
            row["gain"],
            row["more"] / row["gain"].value if row["gain"].value else None,
        )
        for row in found["more"]
        if row["more"]
    ]


def labels_of(found: dict[str, Any]) -> list[LabelsWith]:
    """The labels as they came to be, and carried on from where they are now."""
    real = [LabelsWith(row["votes"], row["accuracy"], row["entropy"], False) for row in found["labels"]]
    if not real:
        return []
    now = real[-1]
    return real + [
        LabelsWith(now.votes + row["more"], _carried(row), row["entropy"], True) for row in found["more"] if row["more"]
    ]


def tables_of(body: dict[str, Any]) -> Iterator[list[Any]]:
    """Of the report as JSON, with their head."""
    yield ["table", "at", "value", "low", "high", "n"]
    for row in body["labels"]:
        yield ["right_labels_by_judgments", row["votes"], *_numbers(row["accuracy"])]
    for row in body["more"]:
        yield ["gain_in_right_labels_by_further_judgments", row["more"], *_numbers(row["gain"])]
    for row in body["agreement"]:
        name = "alpha_expected_by_judgments" if row["simulated"] else "alpha_by_judgments"
        yield [name, row["votes"], *_numbers(row["alpha"])]
    for row in body["reward_models"]["points"]:
        yield ["reward_accuracy_by_pairs", row["pairs"], *_numbers(row["accuracy"])]
    for row in body["reward_models"]["more"]:
        yield ["reward_accuracy_expected_by_pairs", row["pairs"], *_numbers(row["accuracy"])]


def _carried(row: dict[str, Any]) -> Estimate:
    accuracy, n = row["accuracy"], row["gain"].n
    low, high = wilson_interval(min(accuracy, 1.0) * n, n)
    return Estimate(value=accuracy, low=low, high=high, n=n)


def _numbers(outcome: dict[str, Any]) -> list[Any]:
    return [outcome.get(name) for name in ("value", "low", "high", "n")]


def _verdicts(more: int) -> dict[str, str]:
    again = ngettext("%(n)s more judgment of each comparison", "%(n)s more judgments of each comparison", more)
    again = again % {"n": more}
    return {
        "stop": _("Stop: no number of further judgments is worth its price."),
        "go_on": _("Go on: %(again)s, worth the price even at the low end of the interval.") % {"again": again},
        "unclear": _("Unclear: whether %(again)s would be worth the price lies within the interval.")
        % {"again": again},
    }
