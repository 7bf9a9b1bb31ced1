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
    FEW_COMMON = "too few items in common"
    ONE_COMMON = "only one item in common"
    UNUSED_LABEL = "nobody used this label"
    NO_MAJORITY = "the others have no majority for any item that this annotator judged"
    NO_GOLD = "no judged item has a gold label"
    ONE_ANNOTATOR = "there is only one annotator"
    FEW_COMPLETE_ITEMS = "fewer than two items were rated by every annotator"
    NO_ORDER = "fewer than two annotators put the items in any order"
    NO_SPREAD = "the items do not differ, so there is nothing to tell apart"
    ONLY_TIES = "every comparison is a tie, so nothing tells the players apart"
    DISCONNECTED = "the players fall into groups that were never compared with each other"
    SEPARATED = (
        "some players won, or lost, everything against the rest, so how far apart they are has no finite estimate"
    )
    EFFECT_SEPARATED = (
        "an effect (position, length) decides every comparison, or never varies, so it has no finite estimate"
    )
    TOO_FEW_POINTS = "a curve needs points at three sizes or more"
    NO_TREND = "the points fall as the data grow, so no rising curve fits them"
    ONE_PLAYER = "no comparison is between two different players"
    SIDE_UNKNOWN = "of no judgment is it known on which side the responses stood"


@dataclass(frozen=True)
class Estimate:
    """A value, its confidence interval, and n: the number of items that it rests on.

    chance is the agreement that annotators would reach by chance, on the scale of raw agreement: a raw share is
    to be read against it, and a corrected coefficient (kappa, alpha, AC1) has subtracted it, so that its own chance
    level is 0. For rankings and ratings it is the coefficient's value for unrelated annotators. None where the
    number is no agreement.

    Raises ValueError for a value or bound that is not finite, so that no NaN can reach a page.
    """

    value: float
    low: float
    high: float
    n: int
    chance: float | None = None

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for number in (self.value, self.low, self.high, self.chance or 0.0)):
            raise ValueError(f"An estimate must be finite, got {self!r}; return Undefined with a reason instead.")

    def as_json(self) -> dict[str, float | int]:
        return {name: number for name, number in asdict(self).items() if number is not None}


@dataclass(frozen=True)
class Undefined:
    """No value, because `reason`."""

    reason: str

    def as_json(self) -> dict[str, str | None]:
        return {"value": None, "reason": str(self.reason)}


Outcome = Estimate | Undefined
