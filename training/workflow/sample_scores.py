"""What a reward model makes of a sampling run: mean score, best of n, and new against old, each over prompts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from numpy.typing import NDArray

from annotate.statistics.best_of import expected_best, kl_bound
from annotate.statistics.intervals import wilson_interval
from annotate.statistics.means import mean_interval
from training.models import Run
from training.workflow.figures import ENOUGH_PROMPTS, Figure, figure_of

NEW, OLD = "new", "old"

# What a rise in score is worth, by what policy and reward model have in common.
AGAINST_IT = gettext_lazy(
    "The policy was trained against this very reward model: what pleases it has been learned, its mistakes too. A rise "
    "in score alone proves nothing; the annotators' comparisons do."
)
SAME_JUDGMENTS = gettext_lazy(
    "Policy and reward model have learned from the same judgments, and may have learned the same mistakes. A rise in "
    "score alone proves nothing; the annotators' comparisons do."
)

Scores = NDArray[np.float64]
Written = Mapping[tuple[str, int], float | None]  # by model and number of the response


@dataclass(frozen=True)
class BestOf:
    """The best of `n` responses: what it is worth by model, and how far from the policy it can be (nats)."""

    n: int
    new: Figure
    old: Figure | None
    kl: float


@dataclass(frozen=True)
class SampleScores:
    """`best_name` is what a set of the best responses is called where nobody says another name. `warning`: why this
    reward model is no judge of this policy, if it is none."""

    figures: list[Figure]
    best_of: list[BestOf]
    prompts: int
    best_name: str
    warning: str


def summary(prompts: Iterable[Written]) -> dict[str, Any]:
    """For Run.result: {"prompts", "mean", "best_of"}, with a second model also {"old", "old_best_of", "difference",
    "higher"}. A figure is {"value", "low", "high", "n"}, n the number of prompts. Only whole groups count."""
    groups = [_by_model(written) for written in prompts]
    names = max((tuple(group) for group in groups), key=len, default=())
    size = max((len(scores) for group in groups for scores in group.values()), default=0)
    whole = [group for group in groups if all(len(group.get(name, ())) == size for name in names)]
    if not whole:
        return {"prompts": 0}
    scores = {name: np.array([group[name] for group in whole]) for name in names}
    found = {"prompts": len(whole), "mean": _mean(scores[NEW].mean(axis=1)), "best_of": _curve(scores[NEW])}
    return found | _against(scores[NEW], scores[OLD]) if OLD in scores else found


def shown(run: Run) -> SampleScores | None:
    """As the run's page shows it; None for a run that was not scored, or not yet."""
    found = run.result.get("scores") or {}
    if not found.get("prompts"):
        return None
    figures = [figure_of(name, label, found[name]) for name, label in _labels(run).items() if name in found]
    rows = [_best_of(at, found) for at in range(len(found["best_of"]))]
    return SampleScores(figures, rows, found["prompts"], name_of_best(run), warning_of(run))


def name_of_best(run: Run) -> str:
    """For a set that nobody has given another name."""
    size = run.config.get("samples_per_prompt", 1) * (2 if run.reference_model_id else 1)
    return _("Best of %(n)s, run %(run)s") % {"n": size, "run": run.pk}


def warning_of(run: Run) -> str:
    """Of a scored run: whether its policy has learned from its reward model, or from what that has learned from."""
    trained, reward = run.model.run, run.reward_model
    if trained is None or reward is None:
        return ""
    if trained.reward_model_id == reward.pk:
        return str(AGAINST_IT)
    same = reward.snapshot_id is not None and trained.snapshot_id == reward.snapshot_id
    return str(SAME_JUDGMENTS) if same else ""


def _labels(run: Run) -> dict[str, str]:
    """Of two models the headline is the difference."""
    if run.reference_model_id is None:
        return {"mean": _("Mean score of the responses")}
    return {
        "difference": _("Difference in score, new less old, prompt by prompt"),
        "higher": _("Share of prompts on which the new model's responses score higher"),
        "mean": _("Mean score of the responses, new"),
        "old": _("Mean score of the responses, old"),
    }


def _best_of(at: int, found: dict[str, Any]) -> BestOf:
    old = found.get("old_best_of")
    new = figure_of("best_of", "", found["best_of"][at])
    return BestOf(at + 1, new, figure_of("best_of", "", old[at]) if old else None, kl_bound(at + 1))


def _by_model(written: Written) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for (name, _index), score in sorted(written.items()):
        if score is not None:
            found.setdefault(name, []).append(score)
    return found


def _curve(scores: Scores) -> list[dict[str, Any]]:
    """One figure for each n, from scores (prompts, responses)."""
    return [_mean(column) for column in expected_best(scores).T]


def _against(new: Scores, old: Scores) -> dict[str, Any]:
    """Equal means count half."""
    differences = new.mean(axis=1) - old.mean(axis=1)
    wins = float((differences > 0).sum() + (differences == 0).sum() / 2)
    share = {"value": wins / differences.size, "low": None, "high": None, "n": int(differences.size)}
    if differences.size >= ENOUGH_PROMPTS:
        share["low"], share["high"] = wilson_interval(wins, int(differences.size))
    more = {"old": _mean(old.mean(axis=1)), "old_best_of": _curve(old)}
    return {**more, "difference": _mean(differences), "higher": share}


def _mean(values: Scores) -> dict[str, Any]:
    """The prompts are what was drawn independently: a value for each."""
    bounds = mean_interval(values) if values.size >= ENOUGH_PROMPTS else None
    low, high = bounds or (None, None)
    return {"value": float(values.mean()), "low": low, "high": high, "n": int(values.size)}
