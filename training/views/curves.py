"""Which curves the pages of runs draw, by recipe, in the order in which one looks at them, and of which runs."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training.models import Run
from training.workflow.starting import REWARDED


@dataclass(frozen=True)
class Curve:
    """`metric` by its name in progress.jsonl; what ends with "_bytes" is drawn in GiB. `against`: another metric in
    place of the steps; `second`: a metric with an axis of its own on the right; `is_share`: it lies from 0 to 1."""

    metric: str
    title: Promise
    against: str = ""
    against_title: Promise | str = ""
    second: str = ""
    second_title: Promise | str = ""
    is_share: bool = False


@dataclass(frozen=True)
class Line:
    """A run in a picture: where its numbers are, and what it is called."""

    id: int
    name: str
    url: str


SPEED = Curve("tokens_per_second", _("Real tokens per second"))
MEMORY = Curve(
    "memory_bytes",
    _("Memory of the process (GiB)"),
    second="gpu_memory_bytes",
    second_title=_("GPU memory (GiB)"),
)
LOSS = Curve("loss", _("Loss"))
KL = _("KL against the reference (nats per response)")
PAIRS = (LOSS, Curve("accuracy", _("Accuracy"), is_share=True), Curve("margin", _("Margin")), SPEED, MEMORY)
ROLLOUTS = (
    Curve("reward", _("Reward against KL"), against="kl", against_title=KL),
    Curve("kl", KL, second="kl_coefficient", second_title=_("KL coefficient")),
    Curve("length", _("Length (tokens)")),
    Curve("eos_rate", _("Share of responses that end by themselves"), is_share=True),
    Curve("explained_variance", _("Explained variance of the value model")),
    Curve("score", _("Score of the reward model")),
    Curve("reward", _("Reward (score less the penalty for not ending)")),
    Curve("entropy", _("Entropy (nats per token)")),
    Curve("clip_fraction", _("Share of clipped tokens"), is_share=True),
    Curve("ratio", _("Mean ratio of new to old probabilities")),
    Curve("approx_kl", _("How far a step moves the policy (nats per token)")),
    Curve("updates", _("Updates made in a step")),
    LOSS,
    SPEED,
    MEMORY,
)
CURVES = {
    "merge": (),
    "export": (),
    "playground": (),
    "sample": (SPEED, MEMORY),
    "sft": (LOSS, Curve("token_accuracy", _("Share of tokens that were the likeliest"), is_share=True), SPEED, MEMORY),
    **dict.fromkeys(REWARDED, ROLLOUTS),
}


def curves_of(recipe: str) -> tuple[Curve, ...]:
    return CURVES.get(recipe, PAIRS)


def columns_of(recipe: str) -> list[Curve]:
    """The same as columns of a table of steps."""
    return [curve for curve in curves_of(recipe) if not curve.against]


def shared_curves(runs: list[Run]) -> list[Curve]:
    """Those of every recipe among them, each once."""
    found = {(curve.metric, curve.against): curve for run in runs for curve in curves_of(run.recipe)}
    return list(found.values())


def line_of(run: Run) -> Line:
    return Line(run.pk, f"#{run.pk} {run.name}", reverse("run_progress", args=[run.project.slug, run.pk]))
