"""Filters for text and numbers in pages: rendered Markdown, shares, estimates with their intervals."""

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from annotate.rendering import render_markdown as render
from annotate.statistics.estimate import Outcome, Reason, Undefined

register = template.Library()


@register.filter
def render_markdown(text: str) -> SafeString:
    """Through the one sanitiser."""
    return render(text or "")


@register.filter
def share(part: float | None, whole: float | None) -> str:
    """`7|share:20` is "35 %"; nothing of nothing is a dash."""
    return f"{100 * part / whole:.0f} %" if part is not None and whole else "–"


@register.filter
def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


@register.filter
def value_percent(outcome: Outcome | None) -> str:
    return "" if outcome is None or isinstance(outcome, Undefined) else f"{100 * outcome.value:.0f} %"


@register.filter
def interval_percent(outcome: Outcome | None) -> str:
    if outcome is None or isinstance(outcome, Undefined):
        return ""
    return f"{100 * outcome.low:.0f}–{100 * outcome.high:.0f} %"


@register.filter
def value_number(outcome: Outcome | None) -> str:
    return "" if outcome is None or isinstance(outcome, Undefined) else _signed(outcome.value)


@register.filter
def interval_number(outcome: Outcome | None) -> str:
    if outcome is None or isinstance(outcome, Undefined):
        return ""
    return _("%(low)s to %(high)s") % {"low": _signed(outcome.low), "high": _signed(outcome.high)}


@register.filter
def reason(outcome: Outcome | None) -> str:
    """Why there is no number, as a sentence."""
    return _sentences().get(str(outcome.reason), str(outcome.reason)) if isinstance(outcome, Undefined) else ""


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _sentences() -> dict[str, str]:
    return {
        Reason.NO_JUDGMENTS: _("There are no judgments yet."),
        Reason.NO_OVERLAP: _("No comparison has been judged by two people yet."),
        Reason.ONE_ITEM: _("Only one comparison was judged by two people; at least two are needed."),
        Reason.ONE_CATEGORY: _("Everybody always gave the same answer, so agreement cannot be told from chance."),
        Reason.NO_DECIDED_PAIR: _("No comparison has two judgments that are not ties."),
    }
