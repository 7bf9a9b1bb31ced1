"""What a run has shown, prepared for its page: figures with intervals, what was left out, and texts side by side."""

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.models import Comparison
from training.models import Artifact, Run
from training.workflow import left_out
from training.workflow.alignment_tax import Probed, tax_of
from training.workflow.figures import ENOUGH_PROMPTS, ROLLOUTS, Figure, figure_of
from training.workflow.reward_results import RewardDetails, reward_details
from training.workflow.sample_scores import SampleScores, shown

SHOWN_PAIRS = 3
# Of a policy that was trained on its own responses, before and after, on the same held-out prompts.
ROLLOUT_LABELS = {
    "reward_before": gettext_lazy("Mean score of the reward model, before"),
    "reward_after": gettext_lazy("Mean score of the reward model, after"),
    "reward_gain": gettext_lazy("Gain in score, prompt by prompt"),
    "win_rate": gettext_lazy("Share of prompts on which the new response has the higher score"),
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
# What an example of a recipe is, where it is no pair.
TRAINED_ON = {
    "sft": gettext_lazy("Trained on %(train)s demonstration(s), evaluated on %(test)s."),
    "kto": gettext_lazy("Trained on %(train)s single response(s), evaluated on %(test)s."),
    **dict.fromkeys(ROLLOUTS, gettext_lazy("Trained on %(train)s prompt(s); %(test)s were held out.")),
}
LEFT_OUT = {
    "sft": gettext_lazy("%(n)s demonstration(s) were left out: %(reasons)s."),
    "kto": gettext_lazy("%(n)s single response(s) were left out: %(reasons)s."),
    **dict.fromkeys(ROLLOUTS, gettext_lazy("%(n)s prompt(s) were left out: %(reasons)s.")),
}

UNREAD = gettext_lazy(
    "Of %(n)s response(s) the reward model could not read the end: their scores are of what it could."
)


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
    notes: list[str]
    pairs: list[TextPair]
    details: RewardDetails | None = None
    tax: list[Probed] = field(default_factory=list)
    scores: SampleScores | None = None


def results_of(run: Run) -> Results:
    """Empty while the run has no product."""
    if run.recipe == "sample":
        return Results([], _notes_on_samples(run), _judged_pairs(run), scores=shown(run))
    artifact = Artifact.ever.filter(run=run).first()
    if artifact is None:
        return Results([], [], [])
    manifest = artifact.manifest
    details, tax = details_of(artifact), tax_of(artifact)
    return Results(figures_of(artifact), _notes_on_data(manifest), _held_out_pairs(manifest), details, tax)


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


def _notes_on_data(manifest: dict[str, Any]) -> list[str]:
    data = manifest.get("data") or {}
    sizes = {"train": data.get("train", 0), "test": data.get("test", 0)}
    recipe = manifest.get("recipe")
    notes = [TRAINED_ON.get(recipe, _("Trained on %(train)s pair(s), evaluated on %(test)s.")) % sizes]
    notes += _notes_on_prompts(data.get("test", 0), data.get("test_prompts", data.get("test", 0)))
    if dropped := data.get("dropped"):
        said = LEFT_OUT.get(recipe, _("%(n)s pair(s) were left out: %(reasons)s."))
        notes.append(said % {"n": len(dropped), "reasons": left_out.in_words(dropped)})
    if data.get("truncated"):
        notes.append(UNREAD % {"n": data["truncated"]})
    return notes + _notes_on_reference(manifest.get("reference") or {}) + _notes_on_reward(manifest)


def _notes_on_prompts(pairs: int, prompts: int) -> list[str]:
    if pairs == prompts:
        return []
    said = _("The held-out pairs are of %(prompts)s prompts: intervals allow for what the pairs of a prompt share.")
    if prompts < ENOUGH_PROMPTS:
        said = _("The held-out pairs are of only %(prompts)s prompt(s): intervals say nothing of other prompts.")
    return [said % {"prompts": prompts}]


def _notes_on_reference(reference: dict[str, Any]) -> list[str]:
    notes = []
    if "computed" in reference:
        said = _("Reference log-probabilities: %(computed)s computed, %(reused)s reused from earlier runs.")
        notes.append(said % {name: reference[name] for name in ("computed", "reused")})
    if reference.get("moved_at_start"):
        notes.append(
            _("Virtual tokens change the model before the first step, so the policy did not start at its reference.")
        )
    return notes


def _notes_on_reward(manifest: dict[str, Any]) -> list[str]:
    notes = []
    if features := manifest.get("features"):
        notes.append(_("Features: %(computed)s computed, %(reused)s reused from earlier runs.") % features)
    if ties := manifest.get("ties"):
        facts = {"n": ties.get("train", 0), "share": f"{100 * ties.get('between_equals', 0):.0f}"}
        notes.append(_("Learned from %(n)s tie(s); between equals it expects %(share)s %% of them.") % facts)
    return notes


def _notes_on_samples(run: Run) -> list[str]:
    result = run.result
    if not result.get("samples"):
        return []
    facts = {"samples": result["samples"], "comparisons": result.get("comparisons", 0)}
    notes = [_("%(samples)s response(s) written, %(comparisons)s comparison(s) made.") % facts]
    if cut := result["samples"] - result.get("finished", 0):
        notes.append(_("%(n)s response(s) were cut at the maximum length.") % {"n": cut})
    if identical := result.get("identical"):
        notes.append(_("%(n)s pair(s) of identical texts were left out.") % {"n": identical})
    if skipped := result.get("skipped"):
        facts = {"n": len(skipped), "reasons": left_out.in_words(skipped)}
        notes.append(_("%(n)s prompt(s) could not be put to the model: %(reasons)s.") % facts)
    if truncated := (result.get("metrics") or {}).get("truncated"):
        notes.append(UNREAD % {"n": truncated})
    if unknown := result.get("unknown_prompts"):
        notes.append(_("%(n)s prompt(s) had been deleted in the meantime.") % {"n": unknown})
    return notes


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
