"""Filters for text and numbers in pages: rendered Markdown, shares, estimates with their intervals."""

from collections.abc import Iterator

from django import template
from django.core.paginator import Page
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from annotate.rendering import render_markdown as render
from annotate.shares import as_percent, percents
from annotate.statistics.estimate import Outcome, Reason, Undefined

register = template.Library()


@register.filter
def render_markdown(text: str) -> SafeString:
    """Through the one sanitiser."""
    return render(text or "")


@register.filter
def lookup(table: dict[str, str], key: str) -> str:
    return table.get(key, "")


@register.filter
def page_numbers(page: Page) -> Iterator[int | str]:
    """The first and last pages and those about this one, with `Paginator.ELLIPSIS` for the others."""
    return page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)


@register.filter
def share(part: float | None, whole: float | None) -> str:
    """`7|share:20` is "35 %"; nothing of nothing is a dash."""
    return as_percent(part / whole) if part is not None and whole else "–"


@register.filter
def percent(value: float | None) -> str:
    return "–" if value is None else as_percent(value)


@register.filter
def seconds(value: float | None) -> str:
    return "–" if value is None else _("%(seconds)s s") % {"seconds": f"{value:.0f}"}


@register.filter
def value_percent(outcome: Outcome | None) -> str:
    return "" if outcome is None or isinstance(outcome, Undefined) else as_percent(outcome.value)


@register.filter
def interval_percent(outcome: Outcome | None) -> str:
    if outcome is None or isinstance(outcome, Undefined):
        return ""
    return percents(outcome.low, outcome.high)


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
    return f"{value:z.2f}".replace("-", "−")


def _sentences() -> dict[str, str]:
    return {
        Reason.NO_JUDGMENTS: _("There are no judgments yet."),
        Reason.NO_OVERLAP: _("No comparison has been judged by two people yet."),
        Reason.ONE_ITEM: _("Only one comparison was judged by two people; at least two are needed."),
        Reason.ONE_CATEGORY: _("Everybody always gave the same answer, so agreement cannot be told from chance."),
        Reason.NO_DECIDED_PAIR: _("No comparison has two judgments that are not ties."),
        Reason.FEW_COMMON: _("Too few comparisons in common; at least ten are needed."),
        Reason.ONE_COMMON: _("Only one comparison in common; at least two are needed."),
        Reason.UNUSED_LABEL: _("Nobody gave this answer."),
        Reason.NO_MAJORITY: _("The others have no majority for any comparison that this person judged."),
        Reason.NO_GOLD: _("None of the judged comparisons has a known right answer."),
        Reason.ONE_ANNOTATOR: _("There is only one annotator."),
        Reason.FEW_COMPLETE_ITEMS: _("Fewer than two items were rated by every annotator."),
        Reason.NO_ORDER: _("Fewer than two annotators ranked anything above anything else."),
        Reason.NO_SPREAD: _("The rated items do not differ, so there is nothing to tell apart."),
        Reason.ONLY_TIES: _("Every comparison is a tie, so nothing tells the models apart."),
        Reason.DISCONNECTED: _("The models fall into groups that were never compared with each other."),
        Reason.SEPARATED: _("Some models won, or lost, everything against the rest: how far apart is not known."),
        Reason.EFFECT_SEPARATED: _("Position or length decides every comparison, or never varies."),
        Reason.TOO_FEW_POINTS: _("A curve needs points at three sizes or more."),
        Reason.NO_TREND: _("Accuracy falls as the data grow, so no rising curve fits it."),
        Reason.ONE_PLAYER: _("No judged comparison is between responses of two different models."),
        Reason.SIDE_UNKNOWN: _("Of none of these judgments is it known on which side the responses stood."),
    }
