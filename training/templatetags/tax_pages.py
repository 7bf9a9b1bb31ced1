"""How the pages say what a policy has unlearned: changes in points and as factors, and what they come to."""

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.templatetags.training_pages import number
from training.workflow.figures import Figure

register = template.Library()
VERDICTS = {
    "worse": gettext_lazy("worse"),
    "better": gettext_lazy("better"),
    "unclear": gettext_lazy("no change shown"),
}
KINDS = {"worse": "bad", "better": "ok"}


@register.filter
def change_value(figure: Figure) -> str:
    """E.g. "−2.4 points", "× 1.03"."""
    if figure.value is None:
        return ""
    if figure.name == "ratio":
        return f"×\xa0{figure.value:.3f}"
    return _("%(n)s points") % {"n": _points(figure.value)}


@register.filter
def change_interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    said = f"{figure.low:.3f}", f"{figure.high:.3f}"
    low, high = said if figure.name == "ratio" else (_points(figure.low), _points(figure.high))
    return _("%(low)s to %(high)s") % {"low": low, "high": high}


@register.filter
def side_value(figure: Figure) -> str:
    """A share to a tenth of a percent, because a change of one question is to be seen."""
    if figure.value is None:
        return ""
    return f"{100 * figure.value:.1f} %" if figure.is_share else number(figure.value)


@register.filter
def verdict(name: str) -> str:
    return str(VERDICTS.get(name, ""))


@register.filter
def verdict_kind(name: str) -> str:
    """The colour; the word always stands beside it."""
    return KINDS.get(name, "")


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0")
