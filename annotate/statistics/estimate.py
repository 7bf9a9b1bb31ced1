"""What every coefficient returns: a number with its interval, or the reason why there is none."""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a number is not defined; a page maps each member to a translated sentence."""

    NO_JUDGMENTS = "there are no judgments"
    NO_OVERLAP = "no item was judged by two annotators"
    ONE_ITEM = "only one item was judged by two annotators"
    ONE_CATEGORY = "only one label was used, so chance agreement cannot be told from real agreement"
    NO_DECIDED_PAIR = "no item has two judgments that are not ties"


@dataclass(frozen=True)
class Estimate:
    """A value, its confidence interval, and n: the number of items that it rests on.

    Raises ValueError for a value or bound that is not finite, so that no NaN can reach a page.
    """

    value: float
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for number in (self.value, self.low, self.high)):
            raise ValueError(f"An estimate must be finite, got {self!r}; return Undefined with a reason instead.")

    def as_json(self) -> dict[str, float | int]:
        return asdict(self)


@dataclass(frozen=True)
class Undefined:
    """No value, because `reason`."""

    reason: str

    def as_json(self) -> dict[str, str | None]:
        return {"value": None, "reason": str(self.reason)}


Outcome = Estimate | Undefined
