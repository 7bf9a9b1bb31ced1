"""Which weights make the desirable and the undesirable votes of a set count alike in KTO."""

from dataclasses import dataclass

from annotate.models import FeedbackSet

# Ethayarajh et al. 2024 (KTO), section 4: (desirable weight x number) / (undesirable weight x number) of 1 to 4/3.
MOST = 4 / 3


@dataclass(frozen=True)
class Balance:
    """`setting` is the weight of KTO to raise, between `low` and `high`, the other one staying 1; none where the votes
    are balanced as they are."""

    setting: str = ""
    low: float = 1.0
    high: float = 1.0


def balance_of(stored: FeedbackSet) -> Balance | None:
    """None where all votes to train on are of one kind: no weight makes up for those that are not there."""
    if not stored.desirable or not stored.undesirable:
        return None
    share = stored.desirable / stored.undesirable
    if share < 1:
        return Balance("desirable_weight", 1 / share, MOST / share)
    return Balance("undesirable_weight", share / MOST, share) if share > MOST else Balance()
