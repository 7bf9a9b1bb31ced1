"""Which of several figures is better than all others, if they tell."""

from collections.abc import Sequence

from training.workflow.figures import Figure

# Which way a figure is better. What stands in neither (KL, lengths, what was before) is nobody's victory.
RISING = (
    "accuracy",
    "auc",
    "vote_accuracy",
    "token_accuracy",
    "margin",
    "reward_after",
    "reward_gain",
    "win_rate",
    "difference",
)
FALLING = ("loss", "perplexity", "ratio")


def best_of(figures: Sequence[Figure | None]) -> Figure | None:
    """The one whose 95 % interval lies wholly on the better side of every other's; None if there is no such one, or
    if any figure is lacking or has no interval. Stricter than a test of the difference, as all are of one set."""
    whole = [f for f in figures if f is not None and f.value is not None and f.low is not None and f.high is not None]
    if len(whole) < 2 or len(whole) < len(figures):
        return None
    sign = 1 if whole[0].name in RISING else -1 if whole[0].name in FALLING else 0
    best = max(whole, key=lambda figure: sign * figure.value)
    others = [figure for figure in whole if figure is not best]
    if sign > 0 and all(best.low > other.high for other in others):
        return best
    return best if sign < 0 and all(best.high < other.low for other in others) else None
