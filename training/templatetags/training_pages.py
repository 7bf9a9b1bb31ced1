"""How the pages of the right wing say states, times, sizes and figures; and the lineage of a judgment as a tag."""

from typing import Any

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from annotate.models import Judgment, Project
from annotate.shares import as_percent, percents
from training.models import Artifact, Run, RunEvent, RunState
from training.recipes.decimals import plain
from training.recipes.titles import METHODS, STAYING, TITLES
from training.workflow.disk_use import size_of
from training.workflow.evaluation import Figure
from training.workflow.headlines import headline_of
from training.workflow.lineage import artifacts_of_judgment, snapshots_of_judgment
from training.workflow.naming import SEPARATOR
from training.workflow.runs import detail_of, hint_of, reason_of

register = template.Library()

GIB = 2**30
BADGES = {
    RunState.QUEUED: "info",
    RunState.RUNNING: "info",
    RunState.CANCELLING: "warn",
    RunState.SUCCEEDED: "ok",
    RunState.FAILED: "bad",
}
PHASES = {
    "loading": gettext_lazy("Loading the model"),
    "converting": gettext_lazy("Converting the model (once)"),
    "training": gettext_lazy("Training"),
    "evaluating": gettext_lazy("Evaluating"),
    "sampling": gettext_lazy("Sampling"),
    "saving": gettext_lazy("Saving"),
    "pushing": gettext_lazy("Pushing to the hub"),
    "serving": gettext_lazy("Ready"),
}
# What an evaluation says of itself (progress.jsonl, "what").
MEASURED = {
    "reference": gettext_lazy("Reading the texts as the model before its training"),
    "features": gettext_lazy("Reading the texts (features)"),
    "alignment tax": gettext_lazy("Measuring the alignment tax"),
    "answers": gettext_lazy("Answering held-out prompts"),
    "latency": gettext_lazy("Measuring the latency"),
}


@register.filter
def badge_kind(state: str) -> str:
    """The colour of a state; the word always stands beside it."""
    return BADGES.get(state, "")  # type: ignore[call-overload]


@register.filter
def recipe_title(recipe: str) -> str:
    return _(TITLES[recipe]) if recipe in TITLES else recipe


@register.filter
def adapter_title(adapter: str) -> str:
    return _(STAYING[adapter]) if adapter in STAYING else adapter


@register.filter
def method_name(recipe: str) -> str:
    """A method of making a policy, as people call it."""
    return _(METHODS[recipe]) if recipe in METHODS else recipe


@register.filter
def method_of(run: Run) -> str:
    """As in a configuration: `dpo · lora`."""
    return SEPARATOR.join(filter(None, (run.recipe, str(run.config.get("adapter") or ""))))


@register.filter
def reason(run: Run) -> str:
    """Why it ended, in the reader's language."""
    return reason_of(run)


@register.filter
def hint(run: Run) -> str:
    return hint_of(run)


@register.filter
def detail(event: RunEvent) -> str:
    return detail_of(event)


@register.filter
def phase(progress: dict[str, Any]) -> str:
    """What the process is doing, in words."""
    stage = progress.get("stage", "")
    return str(MEASURED.get(progress.get("what", ""), PHASES.get(stage, stage)))


@register.filter
def duration(seconds: float | None) -> str:
    """E.g. "8 s", "3 min 20 s", "2 h 5 min", "4 d 2 h": two units at most, never broken over two lines."""
    if seconds is None or seconds == "":
        return ""
    whole = max(0, round(float(seconds)))
    parts = {
        "days": whole // 86400,
        "hours": whole % 86400 // 3600,
        "minutes": whole % 3600 // 60,
        "seconds": whole % 60,
    }
    if parts["days"]:
        text = _("%(days)s d %(hours)s h")
    elif parts["hours"]:
        text = _("%(hours)s h %(minutes)s min")
    else:
        text = _("%(minutes)s min %(seconds)s s") if parts["minutes"] else _("%(seconds)s s")
    return (text % parts).replace(" ", "\xa0")


@register.filter
def time_taken(run: Run) -> str:
    """While workers had it; a dash before the first."""
    return "–" if run.time_taken is None else duration(run.time_taken.total_seconds())


@register.filter
def number(value: Any) -> str:
    """Three significant digits, and a minus that is a minus; a dash for what is no number."""
    if not isinstance(value, int | float):
        return "–"
    text = f"{value:,}" if isinstance(value, int) else f"{value:z.3g}"
    return text.replace("-", "−")


@register.filter
def percent(value: float) -> str:
    return as_percent(value)


register.filter("percents", percents)


@register.filter
def too_little(figures: list[Figure]) -> str:
    """Why not one of the figures has a value; "" if any has: the same sentence under each of them would say no more."""
    return "" if any(figure.value is not None for figure in figures) else next((f.note for f in figures), "")


@register.filter
def figure_value(figure: Figure) -> str:
    if figure.value is None:
        return ""
    return as_percent(figure.value) if figure.is_share else number(figure.value)


@register.filter
def figure_interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    if figure.is_share:
        return percents(figure.low, figure.high)
    return _("%(low)s to %(high)s") % {"low": number(figure.low), "high": number(figure.high)}


@register.filter
def headline(artifact: Artifact | None) -> str:
    """The figure by which a model of its recipe is looked at, with its interval and n, on one line."""
    figure = headline_of(artifact) if artifact else None
    if figure is None:
        return ""
    if figure.value is None:
        return figure.note
    facts = {"label": figure.label, "value": figure_value(figure), "interval": figure_interval(figure), "n": figure.n}
    if figure.low is None:
        return _("%(label)s %(value)s") % facts
    return _("%(label)s %(value)s (%(interval)s, n = %(n)s)") % facts


@register.filter
def run_headline(run: Run) -> str:
    """What came of a run: a model's first figure, or the number of comparisons."""
    if run.recipe == "sample":
        made = run.result.get("comparisons")
        return "" if made is None else ngettext("%(n)s comparison", "%(n)s comparisons", made) % {"n": made}
    return headline(getattr(run, "artifact", None))


@register.filter
def is_sampling(project: Project) -> bool:
    """Whether comparisons are on their way."""
    states = (RunState.QUEUED, RunState.RUNNING)
    return Run.objects.filter(project=project, recipe="sample", state__in=states).exists()


@register.filter
def disk_size(artifact: Artifact) -> int | None:
    """Bytes at the artifact's place, as last measured; None for a hub id or a place on another host."""
    return size_of(artifact.location)


@register.filter
def metric(row: dict[str, Any], name: str) -> Any:
    """A figure of a line of progress; speed and memory (in GiB) stand beside the metrics."""
    if name.endswith("_bytes"):
        return row[name] / GIB if isinstance(row.get(name), int) else None
    return row.get(name) if name == "tokens_per_second" else (row.get("metrics") or {}).get(name)


@register.filter
def last_turn(messages: Any) -> str:
    """What was said last in a prompt; it comes from a file, so it may be anything."""
    last = messages[-1] if isinstance(messages, list) and messages else {}
    return str(last.get("content", "")) if isinstance(last, dict) else ""


@register.filter
def items(mapping: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """`packages.items` in a template would look for the key "items" first."""
    return sorted((mapping or {}).items())


@register.inclusion_tag("training/_lineage_of_judgment.html")
def lineage_of_judgment(judgment: Judgment, project: Project) -> dict[str, Any]:
    """The snapshots that counted this judgment and the models made from them."""
    return {
        "project": project,
        "snapshots": snapshots_of_judgment(judgment),
        "models": artifacts_of_judgment(judgment),
    }


@register.filter
def of(mapping: dict[Any, Any], key: Any) -> Any:
    """What a mapping says about this key; "" if nothing."""
    return mapping.get(key, "")


@register.filter
def setting(value: Any) -> str:
    """A value of a setting as it is written in a configuration: no digit is rounded away."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return plain(str(value)) if isinstance(value, float) else str(value)


@register.filter
def score(value: float | None) -> str:
    """Four decimals: two scores of one text, seen in two places, can be told to be the same."""
    return "–" if value is None else f"{value:.4f}".replace("-", "−")


@register.filter
def change(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}".replace("-", "−")
