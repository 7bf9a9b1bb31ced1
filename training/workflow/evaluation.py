"""What a run has shown, prepared for its page: figures with intervals, what was left out, and texts side by side."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.models import Comparison
from training.models import Artifact, Run

SHOWN_PAIRS = 3
LABELS = {
    "reward": {
        "accuracy": gettext_lazy("Held-out accuracy"),
        "accuracy_longer_wins": gettext_lazy("Accuracy of “the longer one wins”"),
        "accuracy_chance": gettext_lazy("Accuracy of chance"),
        "margin": gettext_lazy("Margin between chosen and rejected"),
        "loss": gettext_lazy("Held-out loss"),
    },
    "dpo": {
        "margin": gettext_lazy("Reward margin against the reference"),
        "accuracy": gettext_lazy("Share of held-out pairs with a positive margin"),
        "kl": gettext_lazy("KL against the reference (nats per token)"),
        "loss": gettext_lazy("Held-out loss"),
    },
}
SHARES = ("accuracy", "accuracy_longer_wins", "accuracy_chance")


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


@dataclass(frozen=True)
class TextPair:
    """What the old and the new model wrote to one prompt."""

    prompt: str
    old: str
    new: str


@dataclass(frozen=True)
class Results:
    figures: list[Figure]
    notes: list[str]
    pairs: list[TextPair]


def results_of(run: Run) -> Results:
    """Empty while the run has no product."""
    if run.recipe == "sample":
        return Results([], _notes_on_samples(run), _judged_pairs(run))
    artifact = Artifact.objects.filter(run=run).first()
    if artifact is None:
        return Results([], [], [])
    manifest = artifact.manifest
    return Results(figures_of(artifact), _notes_on_data(manifest), _held_out_pairs(manifest))


def figures_of(artifact: Artifact) -> list[Figure]:
    """The evaluation in the artifact's manifest, in the order in which it is read."""
    metrics = artifact.manifest.get("metrics") or {}
    labels = LABELS.get(artifact.manifest.get("recipe", ""), {})
    return [_figure(name, str(label), metrics[name]) for name, label in labels.items() if name in metrics]


def _figure(name: str, label: str, metric: Any) -> Figure:
    if not isinstance(metric, dict):
        return Figure(name, label, metric, None, None, None)
    value, n = metric.get("value"), metric.get("n")
    note = "" if value is not None else _("Only %(n)s held-out pair(s): too few to say anything.") % {"n": n}
    return Figure(name, label, value, metric.get("low"), metric.get("high"), n, note)


def _notes_on_data(manifest: dict[str, Any]) -> list[str]:
    data = manifest.get("data") or {}
    sizes = {"train": data.get("train", 0), "test": data.get("test", 0)}
    notes = [_("Trained on %(train)s pair(s), evaluated on %(test)s.") % sizes]
    if dropped := data.get("dropped"):
        reasons = ", ".join(sorted({str(entry.get("why", "?")) for entry in dropped}))
        notes.append(_("%(n)s pair(s) were left out: %(reasons)s.") % {"n": len(dropped), "reasons": reasons})
    if data.get("truncated"):
        notes.append(_("%(n)s response(s) were cut at the maximum length.") % {"n": data["truncated"]})
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
        facts = {"n": len(skipped), "why": skipped[0].get("why", "?")}
        notes.append(_("%(n)s prompt(s) could not be put to the model. The first: %(why)s") % facts)
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
