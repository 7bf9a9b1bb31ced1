"""Which judgments count for ratings: by criterion, round, tag and guideline version, with or without surplus."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.utils.translation import gettext as _

from annotate.workflow.agreement_groups import OVERALL
from annotate.workflow.exceptions import WorkflowError

NONE = "none"
CRITERIA = (OVERALL,)
NO_WORDS, YES_WORDS = ("", "0", "false", "no"), ("1", "true", "yes", "on")


class WrongFilter(WorkflowError):
    """A filter has a value that it cannot have."""

    status = 400


@dataclass(frozen=True)
class RatingFilters:
    """`round` and `guideline` are numbers, or NONE for what has none; "" takes all, as for `tag`."""

    criterion: str = OVERALL
    round: str = ""
    tag: str = ""
    guideline: str = ""
    surplus: bool = False

    def as_query(self) -> dict[str, Any]:
        return asdict(self)

    def takes(self, round_number: int | None, tags: list[str]) -> bool:
        """A comparison of this round, or of none, whose prompt has these tags."""
        is_round = not self.round or self.round == (NONE if round_number is None else str(round_number))
        return is_round and (not self.tag or self.tag in tags)


def filters_from(given: Mapping[str, Any]) -> RatingFilters:
    """From the text of an address, a form or a command line. Raises WrongFilter."""
    return RatingFilters(
        criterion=_criterion(_text(given, "criterion")),
        round=_number(given, "round"),
        tag=_text(given, "tag"),
        guideline=_number(given, "guideline"),
        surplus=_yes_or_no(given, "surplus"),
    )


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    return "" if value is None else str(value).strip()


def _criterion(text: str) -> str:
    if text not in ("", *CRITERIA):
        raise WrongFilter(
            _("There is no criterion “%(name)s”.") % {"name": text},
            _("Use one of: %(names)s.") % {"names": ", ".join(CRITERIA)},
            where="criterion",
        )
    return text or OVERALL


def _number(given: Mapping[str, Any], name: str) -> str:
    text = _text(given, name).removeprefix("v")
    if text in ("", NONE):
        return text
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise WrongFilter(
            _("%(name)s=%(text)s is not a number.") % {"name": name, "text": text},
            _("Use a number, or “none” for what has none."),
            where=name,
        )
    return str(int(text))


def _yes_or_no(given: Mapping[str, Any], name: str) -> bool:
    text = _text(given, name).lower()
    if text not in (*NO_WORDS, *YES_WORDS):
        said = _("%(name)s=%(text)s is neither yes nor no.") % {"name": name, "text": text}
        raise WrongFilter(said, _("Use 1 or 0."), where=name)
    return text in YES_WORDS
