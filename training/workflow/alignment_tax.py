"""What a policy has unlearned, prepared for page, file, API and command: before, after, and the change."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.models import Artifact, Round, Run
from training.workflow.figures import Figure, figure_of
from training.workflow.probing import HELD_OUT, SHIPPED_TEXTS

MEASURES = {
    "sum": gettext_lazy("likeliest as a whole"),
    "per_token": gettext_lazy("likeliest per token"),
    "per_byte": gettext_lazy("likeliest per byte"),
}
PERPLEXITY = gettext_lazy("Perplexity per token")
SIDES = ("before", "after")
# The one measure a set by which models are compared: longer choices are not held against one, nor its vocabulary.
MEASURES_COMPARED = ("per_byte", "perplexity")
COLUMNS = (
    "run", "recipe", "kind", "set", "tag", "measure", "n", "before", "before_low", "before_high",
    "after", "after_low", "after_high", "change", "change_low", "change_high", "verdict", "reason", "left_out",
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """`change` is a difference of shares, or a ratio of perplexities. `verdict`: "worse" or "better" where its interval
    says so, "unclear" where it covers no change, "" without a figure."""

    measure: str
    label: str
    tag: str
    before: Figure
    after: Figure
    change: Figure
    verdict: str


@dataclass(frozen=True)
class Probed:
    """One set of questions (`kind` "probes") or of texts ("texts"); `tags`: the questions by their tag."""

    kind: str
    name: str
    hash: str
    rows: list[Change]
    tags: list[Change] = field(default_factory=list)
    left_out: int = 0


def tax_of(artifact: Artifact) -> list[Probed]:
    """Empty for a model that was not probed: one of an earlier version, or a reward model."""
    tax = (artifact.manifest.get("metrics") or {}).get("tax") or {}
    return [*map(_probes, tax.get("probes") or []), *map(_texts, tax.get("documents") or [])]


def tax_of_run(run: Run) -> list[Probed]:
    artifact = Artifact.ever.filter(run=run).first()
    return tax_of(artifact) if artifact else []


def policies_of(round: Round) -> list[Run]:
    """The runs of a round that have made a policy, in order."""
    return list(round.runs.filter(artifact__task="policy").order_by("stage"))


def newest_probed(runs: Any) -> Run | None:
    """Of a queryset of runs: the newest whose policy was probed."""
    return runs.filter(artifact__manifest__metrics__has_key="tax").order_by("-pk").first()


def rows_of(runs: list[Run]) -> Iterator[dict[str, Any]]:
    """One for each set, tag and measure, with numbers as they are: by COLUMNS. `left_out` counts what of the whole set
    did not fit into the model."""
    for run in runs:
        for probed in tax_of_run(run):
            for one in (*probed.rows, *probed.tags):
                yield {
                    "run": run.pk, "recipe": run.recipe, "kind": probed.kind, "set": probed.name, "tag": one.tag,
                    "measure": one.measure, "n": one.change.n,
                    **_numbers("before", one.before), **_numbers("after", one.after), **_numbers("change", one.change),
                    "verdict": one.verdict, "reason": one.change.note, "left_out": probed.left_out,
                }  # fmt: skip


def _numbers(name: str, figure: Figure) -> dict[str, float | None]:
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}


def _probes(raw: dict[str, Any]) -> Probed:
    rows = [_change(name, str(label), "", raw[name], "difference") for name, label in MEASURES.items() if name in raw]
    label = str(MEASURES["per_byte"])
    tags = [_change("per_byte", label, str(one["name"]), one, "difference") for one in raw.get("by_tag") or []]
    return Probed("probes", str(raw["name"]), str(raw["hash"]), rows, tags, int(raw.get("left_out") or 0))


def _texts(raw: dict[str, Any]) -> Probed:
    name = _(raw["name"]) if raw["name"] in (SHIPPED_TEXTS, HELD_OUT) else str(raw["name"])
    row = _change("perplexity", str(PERPLEXITY), "", raw, "ratio")
    return Probed("texts", name, str(raw["hash"]), [row], left_out=int(raw.get("left_out") or 0))


def _change(measure: str, label: str, tag: str, raw: dict[str, Any], change: str) -> Change:
    name = "accuracy" if change == "difference" else measure
    before, after = (figure_of(name, label, raw[side]) for side in SIDES)
    found = figure_of(change, label, raw[change])
    return Change(measure, label, tag, before, after, found, _verdict(found))


def _verdict(change: Figure) -> str:
    """More right answers are better, a higher perplexity is worse."""
    if change.value is None or change.low is None or change.high is None:
        return ""
    none, rising = (0.0, "better") if change.name == "difference" else (1.0, "worse")
    falling = "worse" if rising == "better" else "better"
    if change.low > none:
        return rising
    return falling if change.high < none else "unclear"
