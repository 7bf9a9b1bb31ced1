"""How the pages say what a policy has unlearned: changes in points and as factors, and what they come to."""

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.shares import as_percent
from training.templatetags.training_pages import number
from training.workflow.figures import Figure

register = template.Library()
VERDICTS = {
    "worse": gettext_lazy("worse"),
    "better": gettext_lazy("better"),
    "unclear": gettext_lazy("no change shown"),
}
MOST_DIGITS = 6
KINDS = {"worse": "bad", "better": "ok"}


@register.filter
def change_value(figure: Figure) -> str:
    """E.g. "−2.4 points", "× 1.03"."""
    if figure.value is None:
        return ""
    if figure.name == "ratio":
        return f"×\xa0{figure.value:.{_digits(figure)}f}"
    return _("%(n)s points") % {"n": _points(figure.value)}


@register.filter
def change_interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    digits = _digits(figure)
    said = f"{figure.low:.{digits}f}", f"{figure.high:.{digits}f}"
    low, high = said if figure.name == "ratio" else (_points(figure.low), _points(figure.high))
    return _("%(low)s to %(high)s") % {"low": low, "high": high}


@register.filter
def side_value(figure: Figure) -> str:
    """A share to a tenth of a percent, because a change of one question is to be seen."""
    if figure.value is None:
        return ""
    return as_percent(figure.value, 1) if figure.is_share else number(figure.value)


@register.filter
def verdict(name: str) -> str:
    return str(VERDICTS.get(name, ""))


@register.filter
def verdict_kind(name: str) -> str:
    """The colour; the word always stands beside it."""
    return KINDS.get(name, "")


def _digits(figure: Figure) -> int:
    """Of a factor: three behind the point, and more where an end that is not 1 would read as 1.000: by which side of 1
    the interval lies the verdict is told."""
    ends = [end for end in (figure.low, figure.high) if end is not None and end != 1]
    return next((n for n in range(3, MOST_DIGITS) if all(float(f"{end:.{n}f}") != 1 for end in ends)), MOST_DIGITS)


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0")
