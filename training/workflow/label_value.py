"""What further judgments would bring to a project, as JSON: labels, agreement, reward models; and when to stop."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from django.utils.translation import gettext as _

from annotate.models import Project
from annotate.statistics.agreement_width import agreement_widths
from annotate.statistics.dawid_skene import DawidSkene, dawid_skene
from annotate.statistics.estimate import Estimate, Undefined
from annotate.statistics.intervals import wilson_interval
from annotate.statistics.judgments import Judgments
from annotate.statistics.label_curve import LabelsAt, label_curve
from annotate.statistics.label_value import LabelValue, label_values
from annotate.statistics.stop_rule import when_to_stop
from annotate.workflow.bad_items import ids_of_bad_items
from annotate.workflow.exceptions import WorkflowError
from annotate.workflow.judgment_columns import read_columns
from training.workflow.reward_curve import reward_curve

# One judgment more on every comparison must turn a twentieth of the labels from wrong to right.
WORTH = 20.0
MOST_MORE = 5
# Means over draws: of many comparisons one draw says as much as five of few.
DRAWN = 300_000
MOST_DRAWS = 5


class WrongWorth(WorkflowError):
    """What a right label is worth must be a number of judgments above 0."""

    status = 400


def label_value_of(*, project: Project) -> dict[str, Any]:
    """Without bad items, whose labels nobody wants; and without the advice, which depends on what a label is worth to
    somebody: `with_advice`."""
    columns, bad = read_columns(project), ids_of_bad_items(project)
    judgments = columns.where(~np.isin(columns.item, bad)).judgments()
    truth = dawid_skene(judgments)
    items = judgments.items.size
    return {
        "n_judgments": len(judgments),
        "n_comparisons": items,
        "n_annotators": judgments.annotators.size,
        "n_bad": np.unique(columns.item).size - items,
        "judgments_per_comparison": len(judgments) / items if items else 0.0,
        **(_nothing(truth) if isinstance(truth, Undefined) else _labels(judgments, truth)),
        "reward_models": reward_curve(project),
    }


def with_advice(body: dict[str, Any], worth: float = WORTH) -> dict[str, Any]:
    """The report and the stop rule's word on it; `advice` is None where nothing is known of the labels."""
    values = [LabelValue(**{**row, "gain": Estimate(**row["gain"])}) for row in body["more"]]
    if not values:
        return {**body, "worth": worth, "advice": None}
    found = when_to_stop(values, worth=worth)
    verdict = found.verdict.name.lower()
    advice = {"verdict": verdict, "more": found.more, "gain": found.gain, "net": found.net}
    return {**body, "worth": worth, "advice": {**advice, "threshold": found.threshold}}


def worth_from(given: Mapping[str, Any]) -> float:
    """From the text of an address or a form. Raises WrongWorth."""
    text = str(given.get("worth") or WORTH)
    try:
        worth = float(text)
    except ValueError:
        worth = 0.0
    if not 0 < worth < 1e6:
        raise WrongWorth(
            _("A right label cannot be worth %(text)s judgments.") % {"text": text},
            _("Use a number above 0 and below a million."),
            where="worth",
        )
    return worth


def _nothing(why: Undefined) -> dict[str, Any]:
    return {"reason": str(why.reason), "labels": [], "more": [], "agreement": []}


def _labels(judgments: Judgments, truth: DawidSkene) -> dict[str, Any]:
    draws = max(1, min(MOST_DRAWS, DRAWN // max(len(judgments), 1)))
    curve = label_curve(judgments, truth, draws=draws)
    widths = agreement_widths(judgments, truth, more=2, draws=draws)
    return {
        "reason": None,
        "labels": [] if isinstance(curve, Undefined) else [_point(point, judgments.items.size) for point in curve],
        "more": [_value(value) for value in label_values(truth.probabilities, truth.crowd, MOST_MORE)],
        "agreement": [
            {"votes": each.votes, "alpha": each.alpha.as_json(), "width": each.width, "simulated": each.simulated}
            for each in widths
        ],
    }


def _point(point: LabelsAt, n: int) -> dict[str, Any]:
    """Wilson's interval: each label is right or not, so that labels alike in doubt are no certainty."""
    low, high = wilson_interval(min(point.accuracy, 1.0) * n, n)
    accuracy = Estimate(value=point.accuracy, low=low, high=high, n=n)
    return {
        "votes": point.votes,
        "accuracy": accuracy.as_json(),
        "entropy": point.entropy,
        "unchanged": point.unchanged,
    }


def _value(value: LabelValue) -> dict[str, Any]:
    return {
        "more": value.more,
        "accuracy": value.accuracy,
        "entropy": value.entropy,
        "gain": value.gain.as_json(),
    }
