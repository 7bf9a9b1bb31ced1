"""Numbers of the reports on ratings and labels: shares and gains that a whole percent would hide."""

from django import template
from django.utils.translation import gettext as _

from annotate.shares import as_percent, as_rounded_percent, percents
from annotate.statistics.estimate import Estimate, Outcome

register = template.Library()


@register.filter
def percent_plain(value: float) -> str:
    """0.05 is "5 %", 0.004 is "0.4 %"."""
    return as_rounded_percent(value)


@register.filter
def plain_number(value: float) -> str:
    """For the value of an input: 20, not 20.0, in no language's way."""
    return f"{value:.10g}"


@register.filter
def percent_outcome(outcome: Outcome) -> str:
    return as_percent(outcome.value, 1) if isinstance(outcome, Estimate) else "–"


@register.filter
def percent_interval(outcome: Outcome) -> str:
    return percents(outcome.low, outcome.high, 1) if isinstance(outcome, Estimate) else ""


@register.filter
def points(outcome: Outcome) -> str:
    """A gain in percentage points, with its sign."""
    return _signed(outcome.value) if isinstance(outcome, Estimate) else "–"


@register.filter
def interval_points(outcome: Outcome) -> str:
    if not isinstance(outcome, Estimate):
        return ""
    return _("%(low)s to %(high)s") % {"low": _signed(outcome.low), "high": _signed(outcome.high)}


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")
