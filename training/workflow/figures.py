"""A figure of an evaluation as a page shows it: value, interval, n, or why there is none, in the reader's language."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

from django.utils.translation import ngettext_lazy

from training.workflow.told import in_readers_language

ROLLOUTS = ("ppo", "rloo", "grpo")
ENOUGH_PROMPTS = 5  # fewer are no clusters of an interval (training/ml/intervals.py)
SHARES = (
    "accuracy",
    "accuracy_before",
    "accuracy_longer_wins",
    "accuracy_chance",
    "accuracy_similar_length",
    "accuracy_length_controlled",
    "accuracy_new_annotators",
    "human_ceiling",
    "token_accuracy",
    "token_accuracy_before",
    "vote_accuracy",
    "win_rate",
    "higher",
    "eos_rate_before",
    "eos_rate_after",
)
TOO_FEW = {
    "sft": ngettext_lazy(
        "Only %(n)s held-out demonstration: too few to say anything.",
        "Only %(n)s held-out demonstrations: too few to say anything.",
        "n",
    ),
    **dict.fromkeys(
        ROLLOUTS,
        ngettext_lazy(
            "Only %(n)s held-out prompt: too few to say anything.",
            "Only %(n)s held-out prompts: too few to say anything.",
            "n",
        ),
    ),
}
FEW_PAIRS = ngettext_lazy(
    "Only %(n)s held-out pair: too few to say anything.", "Only %(n)s held-out pairs: too few to say anything.", "n"
)


@dataclass(frozen=True)
class Figure:
    """`low` and `high` bound the 95 % interval; `value` is None and `note` says why where there is too little data."""

    name: str
    label: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    note: str = ""

    @property
    def is_share(self) -> bool:
        return self.name in SHARES


def half_width(n: int) -> float:
    """Of the 95 % interval of a share of n near one half, in points: 100 · 1.96 · √(¼ / n)."""
    return 98 / sqrt(n)


def figure_of(name: str, label: str, metric: Any, recipe: str = "") -> Figure:
    """From a manifest's metric: {"value", "low", "high", "n"} with, where there is no value, `words` that say why, or
    else too few examples as the only reason there is; or a plain number."""
    if not isinstance(metric, dict):
        return Figure(name, label, metric, None, None, None)
    value, n = metric.get("value"), metric.get("n")
    note = "" if value is not None else _why_not(metric, recipe)
    return Figure(name, label, value, metric.get("low"), metric.get("high"), n, note)


def _why_not(metric: dict[str, Any], recipe: str) -> str:
    if words := metric.get("words"):
        return in_readers_language(str(metric.get("reason", "")), words.get("template", ""), words.get("values"))
    return TOO_FEW.get(recipe, FEW_PAIRS) % {"n": metric.get("n") or 0}
