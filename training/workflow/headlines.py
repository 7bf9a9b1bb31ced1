"""The one figure by which runs of a recipe are looked at and ordered, and which way is better."""

from dataclasses import dataclass

from training.models import Artifact
from training.workflow.evaluation import ROLLOUTS, Figure, figures_of


@dataclass(frozen=True)
class Headline:
    """`metric` by its name in a manifest; `rising` says that more is better."""

    metric: str
    rising: bool = True


HEADLINES = {
    "sft": Headline("loss", rising=False),
    "reward": Headline("accuracy"),
    # A margin is in units of the loss and of β: a larger one may be the same policy.
    **dict.fromkeys(("dpo", "kto", "orpo", "simpo"), Headline("accuracy")),
    **dict.fromkeys(ROLLOUTS, Headline("reward_gain")),
}
# Of a run on single votes, which has no pairs and so no margin; the first of its figures.
UNPAIRED = Headline("auc")


def headline_of(artifact: Artifact) -> Figure | None:
    """The recipe's headline, or whatever figure comes first where a manifest lacks it."""
    figures = figures_of(artifact)
    known = HEADLINES.get(artifact.manifest.get("recipe", ""))
    wanted = next((figure for figure in figures if known and figure.name == known.metric), None)
    return wanted or next(iter(figures), None)
