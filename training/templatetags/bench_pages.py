"""How the pages say what a bench has found: its state, its columns, and times a text against the bare model."""

from collections.abc import Sequence
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.models import Bench
from training.recipes import RECIPES
from training.templatetags.training_pages import number
from training.workflow.bench_table import COSTS, FORMS, SORTS, Cell

register = template.Library()
MOST_COMPARED = 8  # runs side by side (training/views/differences.py)
STATES = {
    "running": (gettext_lazy("Running"), "info"),
    "waiting": (gettext_lazy("Waiting"), "info"),
    "incomplete": (gettext_lazy("Incomplete"), "warn"),
    "done": (gettext_lazy("Done"), "ok"),
}
# Name, and the name with its unit as an axis says it.
NAMES = {
    "method": (gettext_lazy("Method"), ""),
    "accuracy": (gettext_lazy("Accuracy"), ""),
    "ece": (gettext_lazy("Calibration error"), gettext_lazy("Expected calibration error")),
    "trainable": (gettext_lazy("Trained parameters"), gettext_lazy("Trained parameters")),
    "weights_bytes": (gettext_lazy("Size"), gettext_lazy("Size of what is saved (MB)")),
    "seconds": (gettext_lazy("Time"), gettext_lazy("Time of the training (s)")),
    "peak_bytes": (gettext_lazy("Peak memory"), gettext_lazy("Peak memory (MB)")),
    "unmerged": (gettext_lazy("Latency, unmerged"), gettext_lazy("Latency, unmerged (times the bare model’s)")),
    "merged": (gettext_lazy("Latency, merged"), gettext_lazy("Latency, merged (times the bare model’s)")),
}
MEGA = 1e6


@register.filter
def bench_state(state: str) -> str:
    return str(STATES[state][0])


@register.filter
def bench_kind(state: str) -> str:
    return STATES[state][1]


@register.filter
def cell_state(cell: Cell) -> str:
    return cell.run.get_state_display() if cell.run else _("Refused")


@register.filter
def columns(cells: Sequence[Cell]) -> list[str]:
    """Calibration of reward models, and of policies that were measured for it: older ones were not."""
    measured = any(cell.ece is not None or (cell.run and cell.run.recipe == "reward") for cell in cells)
    return [name for name in SORTS if name != "ece" or measured]


@register.filter
def costs(bench: Bench) -> list[str]:
    return [name for name in COSTS if name != "ece"]


@register.filter
def column_name(name: str) -> str:
    return str(NAMES[name][0])


@register.filter
def cost_name(name: str) -> str:
    return str(NAMES[name][0])


@register.filter
def cost_axis(name: str) -> str:
    return str(NAMES[name][1])


@register.filter
def slug_of(name: str) -> str:
    """As a data attribute."""
    return name.replace("_", "-")


@register.filter
def cost(cell: Cell, name: str) -> float | None:
    """In the unit of the axis. What stands in the model's own weights has one latency, whatever it is called."""
    if name in FORMS and cell.value(name) is None and name == "unmerged":
        name = "merged"
    value = cell.value(name)
    return value / MEGA if value is not None and name.endswith("_bytes") else value


@register.filter
def latency(cell: Cell, form: str) -> str | SafeString:
    """E.g. "× 1.31", with its interval and milliseconds below; or a dash that says why."""
    ratio = getattr(cell, form)
    if ratio is None:
        return "–"
    if ratio.value is None:
        return format_html('<span class="muted" title="{}">–</span>', ratio.note)
    milliseconds = number(1000 * cell.latency[form]["value"])
    said = f"{ratio.low:.2f}–{ratio.high:.2f} · {milliseconds} ms"
    apart = _("Timed one after the other: there was no room for both models at once.")
    why = "" if cell.latency.get("alternated", True) else apart
    return format_html(
        '<span title="{}">×\xa0{}</span><br><span class="muted small">{}</span>', why, f"{ratio.value:.2f}", said
    )


@register.filter
def protocol(bench: Bench) -> str:
    if bench.recipe == "reward":
        return _("held-out texts scored one at a time, the fastest of three passes, the median over the texts.")
    return _(
        "16 tokens after a held-out prompt, one at a time, the fastest of three passes, the median over the texts."
    )


@register.filter
def setting_label(bench: Bench, name: str) -> str:
    known = RECIPES[bench.recipe].__dataclass_fields__
    return _(known[name].metadata.get("label", name)) if name in known else name


@register.filter
def compared(cells: Sequence[Cell]) -> str:
    """The first runs, as the page that compares them is asked."""
    found: list[Any] = [cell.run.pk for cell in cells if cell.run is not None and cell.run.started_at]
    return "&".join(f"run={key}" for key in found[:MOST_COMPARED])
