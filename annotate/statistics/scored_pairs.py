"""Which two of several scored responses to a prompt are worth a judgment: one pair, by the scores of a reward model."""

from collections.abc import Sequence
from itertools import pairwise

Pair = tuple[int, int]


def closest(scores: Sequence[float]) -> Pair:
    """The two that the model can tell apart least, as places in `scores`, the lower place first.

        P(i better than j) = 1 / (1 + exp(s_j - s_i))    nearest 1/2 where |s_i - s_j| is smallest

    Under Bradley-Terry a judgment's information on s_i - s_j is P(1 - P), largest there: uncertainty sampling.
    Lewis & Gale (1994), A Sequential Algorithm for Training Text Classifiers, SIGIR; Bradley & Terry (1952).
    Raises ValueError for fewer than two scores.
    """
    order = _ranking(scores)
    gaps = [scores[better] - scores[worse] for better, worse in pairwise(order)]
    first = gaps.index(min(gaps))
    return _pair(order[first], order[first + 1])


def best_and_worst(scores: Sequence[float]) -> Pair:
    """The two that the model is surest about: what it claims most boldly is checked.

    Yuan et al. (2024), Self-Rewarding Language Models, make their preference pairs of these two. Raises ValueError.
    """
    order = _ranking(scores)
    return _pair(order[0], order[-1])


def best_two(scores: Sequence[float]) -> Pair:
    """The two of which best-of-n would deliver one. Raises ValueError."""
    order = _ranking(scores)
    return _pair(order[0], order[1])


def distinct(texts: Sequence[str]) -> list[int]:
    """The places of the texts, each text once, at its first place: equal ones are no pair to anybody."""
    first: dict[str, int] = {}
    for place, text in enumerate(texts):
        first.setdefault(text, place)
    return list(first.values())


def _ranking(scores: Sequence[float]) -> list[int]:
    """Places from the best to the worst; of equals the earlier one first, so that a choice is always the same."""
    if len(scores) < 2:
        raise ValueError(f"A pair needs two scored responses, got {len(scores)}.")
    return sorted(range(len(scores)), key=lambda place: (-scores[place], place))


def _pair(one: int, other: int) -> Pair:
    """In the order of the places, which tells nothing of the scores."""
    return min(one, other), max(one, other)
