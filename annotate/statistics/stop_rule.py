"""When to stop asking for judgments: gains against their price, with the threshold said."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from annotate.statistics.label_value import LabelValue


class Verdict(StrEnum):
    """What to do; a page maps each member to a translated sentence."""

    STOP = "stop: no number of further judgments is worth its price"
    GO_ON = "go on: the gain is worth its price even at the low end of its interval"
    UNCLEAR = "unclear: whether the gain is worth its price lies within its interval"


@dataclass(frozen=True)
class Advice:
    """`more` judgments a comparison are the best buy (0 to stop), `gain` what they are expected to bring.

    net        gain · worth - more, in judgments a comparison
    threshold  the gain that `more` judgments would have to bring, more / worth
    """

    verdict: Verdict
    more: int
    gain: float
    net: float
    threshold: float


def when_to_stop(values: Sequence[LabelValue], *, worth: float) -> Advice:
    """The best number of further judgments a comparison, out of `label_values`.

        net(N) = worth · gain(N) - N

    worth: how many judgments one more right label is worth to you. With 20, one judgment more on every comparison must
    turn at least 5 % of the labels from wrong to right. STOP where no N is worth it even at the upper end of its
    interval; GO_ON where the best N is at its lower end; UNCLEAR between. Raises ValueError unless worth > 0.
    """
    if not worth > 0:
        raise ValueError(f"What a right label is worth must be above 0 judgments, got {worth}.")
    offers = [value for value in values if value.more > 0]
    if not any(worth * value.gain.high > value.more for value in offers):
        return Advice(Verdict.STOP, 0, 0.0, 0.0, min((value.more for value in offers), default=1) / worth)
    best = max(offers, key=lambda value: worth * value.gain.value - value.more)
    verdict = Verdict.GO_ON if worth * best.gain.low > best.more else Verdict.UNCLEAR
    return Advice(verdict, best.more, best.gain.value, worth * best.gain.value - best.more, best.more / worth)
