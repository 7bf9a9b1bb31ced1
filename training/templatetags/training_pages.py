"""How the pages of the right wing say states, times, sizes and figures; and the lineage of a judgment as a tag."""

from datetime import datetime
from pathlib import Path
from typing import Any

from django import template
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from annotate.models import Judgment, Project
from training.models import Artifact, Run, RunState
from training.workflow.evaluation import Figure, figures_of
from training.workflow.lineage import artifacts_of_judgment, snapshots_of_judgment

register = template.Library()

BADGES = {
    RunState.QUEUED: "info",
    RunState.RUNNING: "info",
    RunState.CANCELLING: "warn",
    RunState.SUCCEEDED: "ok",
    RunState.FAILED: "bad",
}
RECIPE_TITLES = {
    "reward": gettext_lazy("Reward model"),
    "dpo": gettext_lazy("Policy (DPO)"),
    "sample": gettext_lazy("Samples"),
}
PHASES = {
    "loading": gettext_lazy("Loading the model"),
    "converting": gettext_lazy("Converting the model (once)"),
    "training": gettext_lazy("Training"),
    "evaluating": gettext_lazy("Evaluating"),
    "sampling": gettext_lazy("Sampling"),
    "saving": gettext_lazy("Saving"),
}


@register.filter
def badge_kind(state: str) -> str:
    """The colour of a state; the word always stands beside it."""
    return BADGES.get(state, "")  # type: ignore[call-overload]


@register.filter
def recipe_title(recipe: str) -> str:
    return str(RECIPE_TITLES.get(recipe, recipe))


@register.filter
def phase(progress: dict[str, Any]) -> str:
    """What the process is doing, in words."""
    stage = progress.get("stage", "")
    return str(PHASES.get(stage, stage))


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
    """From the first start to the end, or until now; resumed runs count the time between, too."""
    if run.started_at is None:
        return "–"
    end: datetime = run.ended_at or timezone.now()
    return duration((end - run.started_at).total_seconds())


@register.filter
def number(value: Any) -> str:
    """Three significant digits, and a minus that is a minus; a dash for what is no number."""
    if not isinstance(value, int | float):
        return "–"
    text = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
    return text.replace("-", "−")


def as_percent(value: float) -> str:
    return f"{100 * value:.0f} %"


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
        return f"{100 * figure.low:.0f}–{100 * figure.high:.0f} %"
    return _("%(low)s to %(high)s") % {"low": number(figure.low), "high": number(figure.high)}


@register.filter
def headline(artifact: Artifact | None) -> str:
    """The first figure of a model with its interval and n, on one line."""
    figure = next(iter(figures_of(artifact)), None) if artifact else None
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
def disk_size(artifact: Artifact) -> int | None:
    """Bytes at the artifact's place, folders below left out; None for a hub id or a place on another host."""
    place = Path(artifact.location)
    if not place.is_absolute():
        return None
    try:
        if place.is_file():
            return place.stat().st_size
        return sum(file.stat().st_size for file in place.iterdir() if file.is_file())
    except OSError:
        return None


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
