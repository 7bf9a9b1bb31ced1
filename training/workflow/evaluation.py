"""What a run has shown, prepared for its page: figures with intervals, what was left out, and texts side by side."""

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy

from annotate.models import Comparison
from training.models import Artifact, Run
from training.workflow.alignment_tax import Probed, tax_of
from training.workflow.figures import ROLLOUTS, Figure, figure_of
from training.workflow.notes import Note, lost_of, notes_on_product, notes_on_samples
from training.workflow.reward_results import RewardDetails, reward_details
from training.workflow.sample_scores import SampleScores, shown

SHOWN_PAIRS = 3
# Of a policy that was trained on its own responses, before and after, on the same held-out prompts.
ROLLOUT_LABELS = {
    "reward_before": gettext_lazy("Mean score of the reward model, before"),
    "reward_after": gettext_lazy("Mean score of the reward model, after"),
    "reward_gain": gettext_lazy("Gain in score, prompt by prompt"),
    "win_rate": gettext_lazy("Share of prompts on which the new response has the higher score"),
    # Of an ensemble that rewarded with its worst member, or with its mean less the members' disagreement.
    "rewarded_before": gettext_lazy("Score as learned from: the worst member’s, or less their disagreement, before"),
    "rewarded_after": gettext_lazy("Score as learned from: the worst member’s, or less their disagreement, after"),
    "rewarded_gain": gettext_lazy("Gain in the score as it was learned from, prompt by prompt"),
    "kl": gettext_lazy("KL against the reference (nats per response)"),
    "length_before": gettext_lazy("Length in tokens, before"),
    "length_after": gettext_lazy("Length in tokens, after"),
    "eos_rate_before": gettext_lazy("Share of responses that end by themselves, before"),
    "eos_rate_after": gettext_lazy("Share of responses that end by themselves, after"),
}
LABELS = {
    "reward": {
        "accuracy": gettext_lazy("Held-out accuracy"),
        "accuracy_longer_wins": gettext_lazy("Accuracy of “the longer one wins”"),
        "accuracy_chance": gettext_lazy("Accuracy of chance"),
        "human_ceiling": gettext_lazy("Human ceiling: one annotator against the others"),
        "accuracy_new_annotators": gettext_lazy("Accuracy on annotators held out, by their votes alone"),
    },
    "dpo": {
        "margin": gettext_lazy("Reward margin against the reference"),
        "accuracy": gettext_lazy("Share of held-out pairs with a positive margin"),
        "kl": gettext_lazy("KL against the reference (nats per token)"),
        "loss": gettext_lazy("Held-out loss"),
    },
    "sft": {
        "loss": gettext_lazy("Held-out loss per token"),
        "loss_before": gettext_lazy("Held-out loss per token, before"),
        "perplexity": gettext_lazy("Perplexity"),
        "perplexity_before": gettext_lazy("Perplexity, before"),
        "token_accuracy": gettext_lazy("Share of tokens that were the likeliest"),
        "token_accuracy_before": gettext_lazy("Share of tokens that were the likeliest, before"),
        "kl": gettext_lazy("KL against the start (nats per token)"),
    },
    "kto": {
        # Of single votes, where there are no pairs.
        "auc": gettext_lazy("AUC of the implicit reward"),
        "vote_accuracy": gettext_lazy("Share of held-out votes on their side of the baseline"),
        "reward_desirable": gettext_lazy("Implicit reward of desirable responses"),
        "reward_undesirable": gettext_lazy("Implicit reward of undesirable responses"),
        "margin": gettext_lazy("Reward margin against the reference"),
        "accuracy": gettext_lazy("Share of held-out pairs with a positive margin"),
        "kl": gettext_lazy("KL against the reference (nats per token)"),
        "loss": gettext_lazy("Held-out loss"),
    },
    "orpo": {
        "margin": gettext_lazy("Log odds ratio of chosen and rejected"),
        "margin_before": gettext_lazy("Log odds ratio of chosen and rejected, before"),
        "accuracy": gettext_lazy("Share of held-out pairs whose chosen response is likelier per token"),
        "accuracy_before": gettext_lazy("Share of held-out pairs whose chosen response is likelier per token, before"),
        "kl": gettext_lazy("KL against the start (nats per token)"),
        "loss": gettext_lazy("Held-out loss"),
    },
    "simpo": {
        "margin": gettext_lazy("Margin of the mean log-probabilities"),
        "margin_before": gettext_lazy("Margin of the mean log-probabilities, before"),
        "accuracy": gettext_lazy("Share of held-out pairs whose chosen response is likelier per token"),
        "accuracy_before": gettext_lazy("Share of held-out pairs whose chosen response is likelier per token, before"),
        "kl": gettext_lazy("KL against the start (nats per token)"),
        "loss": gettext_lazy("Held-out loss"),
    },
    **dict.fromkeys(ROLLOUTS, ROLLOUT_LABELS),
}


@dataclass(frozen=True)
class TextPair:
    """What the old and the new model wrote to one prompt."""

    prompt: str
    old: str
    new: str


@dataclass(frozen=True)
class Results:
    """`details` of a reward model: where it is right and where not; `tax` of a policy: what it has unlearned; `scores`
    of a sampling run: what its reward model makes of the responses."""

    figures: list[Figure]
    noted: list[Note]
    pairs: list[TextPair]
    details: RewardDetails | None = None
    tax: list[Probed] = field(default_factory=list)
    scores: SampleScores | None = None

    @property
    def warnings(self) -> list[str]:
        """To be read before the figures."""
        return [note.text for note in self.noted if note.warns]

    @property
    def lost(self) -> str:
        return lost_of(self.noted)

    @property
    def notes(self) -> list[str]:
        return [note.text for note in self.noted if not note.warns]


def results_of(run: Run) -> Results:
    """Empty while the run has no product."""
    if run.recipe == "sample":
        return Results([], notes_on_samples(run), _judged_pairs(run), scores=shown(run))
    artifact = Artifact.ever.filter(run=run).first()
    if artifact is None:
        return Results([], [], [])
    manifest = artifact.manifest
    details, tax = details_of(artifact), tax_of(artifact)
    return Results(figures_of(artifact), notes_on_product(manifest), _held_out_pairs(manifest), details, tax)


def figures_of(artifact: Artifact) -> list[Figure]:
    """The evaluation in the artifact's manifest, in the order in which it is read."""
    metrics = artifact.manifest.get("metrics") or {}
    recipe = artifact.manifest.get("recipe", "")
    labels = LABELS.get(recipe, {})
    known = [name for name in labels if name in metrics and _is_headline(name, metrics[name])]
    return [figure_of(name, str(labels[name]), metrics[name], recipe) for name in known]


def _is_headline(name: str, metric: Any) -> bool:
    """Of new annotators where the snapshot held some out: where they are there by chance, they are a detail."""
    return name != "accuracy_new_annotators" or "people" in metric


def details_of(artifact: Artifact) -> RewardDetails | None:
    """Of a reward model that was measured."""
    is_reward = artifact.manifest.get("recipe") == "reward"
    return reward_details(artifact.manifest.get("metrics") or {}) if is_reward else None


def _held_out_pairs(manifest: dict[str, Any]) -> list[TextPair]:
    """Written by the training process at its end, to held-out prompts and with the same seeds."""
    rows = (manifest.get("metrics") or {}).get("samples") or []
    return [TextPair(row["prompt"][-1]["content"], row["old"], row["new"]) for row in rows[:SHOWN_PAIRS]]


def _judged_pairs(run: Run) -> list[TextPair]:
    """Only what has been judged to the end: which text is the new model's must not be known before."""
    if run.reference_model_id is None:
        return []
    judged = Comparison.objects.filter(batch=run.batch, key__startswith=f"run{run.pk}:").complete()
    rows = judged.select_related("prompt", "response_a__sample", "response_b__sample").order_by("id")
    return [_judged_pair(run, comparison) for comparison in rows[:SHOWN_PAIRS]]


def _judged_pair(run: Run, comparison: Comparison) -> TextPair:
    a, b = comparison.response_a, comparison.response_b
    new, old = (a, b) if a.sample.artifact_id == run.model_id else (b, a)
    return TextPair(comparison.prompt.last_turn, old.text, new.text)
