"""Parts of the ratings page: the matrix of win rates, the filters' choices, why there is no rating, and its CSV."""

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from annotate.lists import listed
from annotate.models import Project
from annotate.statistics.estimate import Estimate, Outcome
from training.workflow.rating_filters import NONE, RatingFilters

MOST_IN_MATRIX = 20
Cell = Outcome | None
Choices = list[tuple[str, str]]
RATED = ("model", "rating", "low", "high", "elo", "elo_low", "elo_high", "n_comparisons", "wins", "ties", "losses")
COMPARED = ("model", "against", "win_rate", "low", "high", "n")


def matrix_of(names: list[str], pairs: list[dict[str, Any]]) -> list[tuple[str, list[tuple[str, Cell]]]]:
    """A row a model, a cell for every other with its name; None on the diagonal and where two were never compared."""
    rates: dict[tuple[str, str], Outcome] = {}
    for pair in pairs:
        rates[pair["model"], pair["against"]] = pair["win_rate"]
        rates[pair["against"], pair["model"]] = _turned(pair["win_rate"])
    return [(row, [(column, rates.get((row, column))) for column in names]) for row in names]


def _turned(rate: Outcome) -> Outcome:
    """Wilson's interval of the losses is that of the wins, mirrored."""
    if not isinstance(rate, Estimate):
        return rate
    return Estimate(value=1 - rate.value, low=1 - rate.high, high=1 - rate.low, n=rate.n)


def choices_of(project: Project, filters: RatingFilters, options: dict[str, Any]) -> dict[str, Choices]:
    """Value and label by filter; what is chosen is always there, even while nothing has been computed."""
    versions = [str(number) for number in project.guideline_versions.values_list("number", flat=True)]
    rounds = ["" if number is None else str(number) for number in options.get("rounds", [])]
    round_choices = [(number or NONE, _round(number)) for number in rounds]
    tag_choices = [(tag, tag) for tag in options.get("tags", [])]
    version_choices = [*((number, f"v{number}") for number in versions), (NONE, _("none (imported)"))]
    return {
        "round": _with_chosen(round_choices, filters.round),
        "tag": _with_chosen(tag_choices, filters.tag),
        "guideline": _with_chosen(version_choices, filters.guideline),
    }


def sentences_of(parts: list[dict[str, Any]]) -> list[str]:
    """Which models stand in the way of a rating, and how."""
    return [_sentence(part) % {"models": listed(part["models"])} for part in parts]


def rating_rows(body: dict[str, Any]) -> Iterator[list[Any]]:
    yield list(RATED)
    for row in body["ratings"]:
        numbers = [row[name].get(part) for name in ("rating", "elo") for part in ("value", "low", "high")]
        yield [row["model"], *numbers, *(row[name] for name in RATED[-4:])]


def win_rate_rows(body: dict[str, Any]) -> Iterator[list[Any]]:
    """Each pair once, all of them: the page's matrix ends at MOST_IN_MATRIX models."""
    yield list(COMPARED)
    for pair in body["win_rates"]:
        yield [pair["model"], pair["against"], *(pair["win_rate"].get(name) for name in ("value", "low", "high", "n"))]


def _sentence(part: dict[str, Any]) -> str:
    if not part["wins"] and not part["losses"]:
        return _("%(models)s: never compared with the others.")
    if not part["losses"]:
        return _("%(models)s: never lost to, and never tied with, any of the others.")
    if not part["wins"]:
        return _("%(models)s: never won against, and never tied with, any of the others.")
    return _("%(models)s: lost every comparison with some of the others, and won every one with the rest.")


def _round(number: str) -> str:
    return _("Round %(n)s") % {"n": number} if number else _("outside rounds")


def _with_chosen(choices: Choices, chosen: str) -> Choices:
    known = not chosen or chosen in dict(choices)
    return choices if known else [*choices, (chosen, chosen)]
