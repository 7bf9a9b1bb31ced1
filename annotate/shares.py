"""Shares as percentages, as each language writes them: "54 %" in English, "54%" in Chinese."""

from django.utils.translation import gettext as _


def as_percent(share: float, digits: int = 0) -> str:
    """0.54 is "54 %"."""
    return _written(f"{100 * share:.{digits}f}")


def percents(low: float, high: float, digits: int = 0) -> str:
    """An interval: "50–58 %"."""
    return _written(f"{100 * low:.{digits}f}–{100 * high:.{digits}f}")


def as_rounded_percent(share: float) -> str:
    """To three digits, without zeros at the end: 0.05 is "5 %", 0.004 is "0.4 %"."""
    return _written(f"{100 * share:.3g}")


def _written(number: str) -> str:
    return _("%(number)s %%") % {"number": number}
