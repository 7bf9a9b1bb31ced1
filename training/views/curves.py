"""Which curves the pages of runs draw, by recipe, in the order in which one looks at them, and of which runs."""

from dataclasses import dataclass, replace

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training.models import Run


@dataclass(frozen=True)
class Curve:
    """`metric` by its name in progress.jsonl; what ends with "_bytes" is drawn in GiB. `against`: another metric in
    place of the steps; `second`: a metric with an axis of its own on the right; `is_share`: it lies from 0 to 1;
    `detail`: looked at when something is wrong, and folded away until then."""

    metric: str
    title: Promise
    against: str = ""
    against_title: Promise | str = ""
    second: str = ""
    second_title: Promise | str = ""
    is_share: bool = False
    detail: bool = False


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
DRAWN = (
    Curve("reward", _("Reward against KL"), against="kl", against_title=KL),
    Curve("kl", KL, second="kl_coefficient", second_title=_("KL coefficient")),
    Curve("length", _("Length (tokens)")),
    Curve("eos_rate", _("Share of responses that end by themselves"), is_share=True),
)
SCORE = Curve("score", _("Score of the reward model"))
REWARD = Curve("reward", _("Reward (the score, or what an ensemble makes of it, less the penalty for not ending)"))
SPREAD = Curve("reward_std", _("Spread of the reward (standard deviation)"))
ENTROPY = Curve("entropy", _("Entropy (nats per token)"))
CLIPPED = _("Share of clipped tokens")
STEPS = (
    Curve("grad_norm", _("Gradient norm of the policy"), detail=True),
    Curve("learning_rate", _("Learning rate"), detail=True),
)
PPO = (
    *DRAWN,
    Curve("explained_variance", _("Explained variance of the value model")),
    SCORE,
    REWARD,
    SPREAD,
    ENTROPY,
    Curve("clip_fraction", CLIPPED, is_share=True),
    Curve("approx_kl", _("How far a step moves the policy (nats per token)")),
    Curve("updates", _("Updates made in a step")),
    SPEED,
    MEMORY,
    Curve("value_loss", _("Loss of the value model"), detail=True),
    Curve("value_clip_fraction", _("Share of clipped values"), is_share=True, detail=True),
    Curve("policy_loss", _("Loss of the policy"), detail=True),
    Curve("loss", _("Both losses together"), detail=True),
    Curve("ratio", _("Mean ratio of new to old probabilities"), detail=True),
    *STEPS,
)


def _of_groups(clipped: Promise) -> tuple[Curve, ...]:
    return (
        *DRAWN,
        Curve(
            "groups_without_spread",
            _("Share of groups without spread, from which nothing is learned"),
            is_share=True,
        ),
        SCORE,
        REWARD,
        SPREAD,
        ENTROPY,
        SPEED,
        MEMORY,
        replace(LOSS, detail=True),
        Curve("clip_fraction", clipped, is_share=True, detail=True),
        *STEPS,
    )


CURVES = {
    "merge": (),
    "export": (),
    "playground": (),
    "sample": (SPEED, MEMORY),
    "sft": (LOSS, Curve("token_accuracy", _("Share of tokens that were the likeliest"), is_share=True), SPEED, MEMORY),
    # Of single votes: what is told of pairs at the end needs both responses of one.
    "kto": (
        LOSS,
        Curve("accuracy", _("Share of votes on their side of the baseline"), is_share=True),
        Curve("margin", _("Implicit reward beyond the baseline, toward the vote’s side")),
        SPEED,
        MEMORY,
    ),
    "ppo": PPO,
    "grpo": _of_groups(CLIPPED),
    # Its ratio is that of a whole response (TRL): so is what its clip holds back.
    "rloo": _of_groups(_("Share of clipped responses")),
}


def curves_of(recipe: str) -> tuple[Curve, ...]:
    return CURVES.get(recipe, PAIRS)


def columns_of(recipe: str) -> list[Curve]:
    """The same as columns of a table of steps."""
    return [curve for curve in curves_of(recipe) if not curve.against]


def shared_curves(runs: list[Run]) -> list[Curve]:
    """Those of every recipe among them, each once, under all the names that it has there."""
    found: dict[tuple[str, str], Curve] = {}
    for run in runs:
        for curve in curves_of(run.recipe):
            known = found.setdefault((curve.metric, curve.against), curve)
            title = known.title if str(curve.title) in str(known.title) else f"{known.title} · {curve.title}"
            found[curve.metric, curve.against] = replace(known, title=title, detail=known.detail and curve.detail)
    return list(found.values())


def line_of(run: Run) -> Line:
    return Line(run.pk, f"#{run.pk} {run.name}", reverse("run_progress", args=[run.project.slug, run.pk]))
