"""Where a reward model is right: accuracy on parts of the held-out pairs, each with its interval and n."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from training.ml.intervals import (
    ENOUGH,
    Clusters,
    clusters_of,
    correlation_of_shares,
    hits_of,
    mean_of_two,
    some_of,
    undefined,
    unless_too_few,
    wins,
)
from training.ml.pairs import Pair
from training.recipes.words import gettext_noop

ALIKE = 0.1
"""Lengths are similar if they differ by at most this share of the longer one."""

STRENGTHS = {"weak": 1 / 3, "medium": 2 / 3, "strong": 1.0}
"""Each up to and with its bound: of three votes 2 to 1 is weak and 3 to 0 strong, of five 4 to 1 is medium. Of one vote
with a degree, slightly better is weak, better medium and much better strong."""

ROUNDING = 1e-9
FEW_SIMILAR = gettext_noop("Only %(n)s held-out pair(s) of similar length: at least %(enough)s are needed.")
FEW_NEW = gettext_noop(
    "Only %(n)s held-out pair(s) by people who judged none of the training pairs: at least %(enough)s are needed."
)
NOBODY = gettext_noop("The data do not say who judged.")
FEW_OF_LENGTH = gettext_noop(
    "The chosen response is longer in %(longer)s held-out pair(s) and shorter in %(shorter)s: at least %(enough)s of "
    "each are needed."
)
NO_VOTES = gettext_noop("The data do not say how the votes fell.")
FEW_VOTES = gettext_noop("Only %(n)s such pair(s) with two votes or more: at least %(enough)s are needed.")


def accuracies_by_length(pairs: Sequence[Pair], margins: Sequence[float], clusters: Clusters = None) -> dict[str, Any]:
    """`accuracy_similar_length`: on pairs whose lengths, in characters, differ by at most 10 % of the longer one.

    `accuracy_length_controlled`: the mean of the accuracies on pairs whose chosen response is the longer and on those
    whose it is the shorter one (equal ones are in neither). A model that only looks at length is right on all of the
    one and none of the other kind, and has 0.5, whatever the share of the two."""
    longer = [len(pair.chosen) - len(pair.rejected) for pair in pairs]
    alike = [
        abs(by) <= ALIKE * max(len(pair.chosen), len(pair.rejected)) for pair, by in zip(pairs, longer, strict=True)
    ]
    return {
        "accuracy_similar_length": unless_too_few(_wins_where(alike, margins, clusters), FEW_SIMILAR),
        "accuracy_length_controlled": _controlled(
            [by > 0 for by in longer], [by < 0 for by in longer], margins, clusters
        ),
    }


def accuracy_on_new_annotators(
    pairs: Sequence[Pair], margins: Sequence[float], trained_on: Sequence[Pair], clusters: Clusters = None
) -> dict[str, Any]:
    """On held-out pairs none of whose annotators judged a training pair: whether the model has learned what people
    prefer, or these people."""
    if pairs and not any(pair.annotators for pair in pairs):
        return undefined(0, NOBODY)
    known = {annotator for pair in trained_on for annotator in pair.annotators}
    new = [bool(pair.annotators) and known.isdisjoint(pair.annotators) for pair in pairs]
    return unless_too_few(_wins_where(new, margins, clusters), FEW_NEW)


def accuracy_on_test_annotators(
    pairs: Sequence[Pair], margins: Sequence[float], trained_on: Sequence[Pair]
) -> dict[str, Any]:
    """The same on pairs whose labels are by people held out alone; `people` says how many they are. The interval is
    over prompts: the fewer the people, the less it says of others."""
    figure = accuracy_on_new_annotators(pairs, margins, trained_on, clusters_of([pair.prompt_ids for pair in pairs]))
    return {**figure, "people": len({annotator for pair in pairs for annotator in pair.annotators})}


def accuracies_by_group(
    pairs: Sequence[Pair], margins: Sequence[float], clusters: Clusters = None
) -> dict[str, list[dict[str, Any]]]:
    """Lists of {"name", value, low, high, n}. A pair with several tags is in the group of each; one without tags, or
    without a language, is in none. Groups of tags and languages come with the largest first."""
    return {
        "by_strength": _in_groups(pairs, margins, clusters, lambda pair: [strength_of(pair)], list(STRENGTHS)),
        "by_votes": _by_votes(pairs, margins, clusters),
        "by_tag": _in_groups(pairs, margins, clusters, lambda pair: dict.fromkeys(pair.tags)),
        "by_language": _in_groups(pairs, margins, clusters, lambda pair: [pair.language] if pair.language else []),
    }


def strength_of(pair: Pair) -> str:
    """The name of its strength in STRENGTHS."""
    return next(name for name, bound in STRENGTHS.items() if pair.degree <= bound + ROUNDING)


def _by_votes(pairs: Sequence[Pair], margins: Sequence[float], clusters: Clusters) -> list[dict[str, Any]]:
    """Pairs with two votes or more: all for the chosen response, or not."""
    votes = [pair.votes if pair.votes and sum(pair.votes) > 1 else None for pair in pairs]
    parts = {
        "unanimous": [bool(v) and v[0] == sum(v) for v in votes],
        "split": [bool(v) and v[0] < sum(v) for v in votes],
    }
    if not any(pair.votes for pair in pairs):
        return [{"name": name, **undefined(0, NO_VOTES)} for name in parts]
    return [
        {"name": name, **unless_too_few(_wins_where(part, margins, clusters), FEW_VOTES)}
        for name, part in parts.items()
    ]


def _in_groups(
    pairs: Sequence[Pair],
    margins: Sequence[float],
    clusters: Clusters,
    groups_of: Callable[[Pair], Iterable[str]],
    order: Sequence[str] = (),
) -> list[dict[str, Any]]:
    groups: dict[str, list[bool]] = {name: [False] * len(pairs) for name in order}
    for place, pair in enumerate(pairs):
        for name in groups_of(pair):
            groups.setdefault(name, [False] * len(pairs))[place] = True
    names = order or sorted(groups, key=lambda name: (-sum(groups[name]), name))
    return [{"name": name, **_wins_where(groups[name], margins, clusters)} for name in names if any(groups[name])]


def _controlled(
    longer: list[bool], shorter: list[bool], margins: Sequence[float], clusters: Clusters
) -> dict[str, Any]:
    counts = {"longer": sum(longer), "shorter": sum(shorter)}
    if min(counts.values()) < ENOUGH:
        return undefined(sum(counts.values()), FEW_OF_LENGTH, **counts, enough=ENOUGH)
    both = [_wins_where(part, margins, clusters) for part in (longer, shorter)]
    unknown = next((figure for figure in both if figure["value"] is None), None)
    if unknown:
        return unknown
    either = [one or other for one, other in zip(longer, shorter, strict=True)]
    hits, is_longer = (
        [value for value, is_in in zip(row, either, strict=True) if is_in] for row in (hits_of(margins), longer)
    )
    return mean_of_two(*both, correlation_of_shares(hits, is_longer, some_of(clusters, either)))


def _wins_where(wanted: Sequence[bool], margins: Sequence[float], clusters: Clusters) -> dict[str, Any]:
    return wins([margin for margin, is_in in zip(margins, wanted, strict=True) if is_in], some_of(clusters, wanted))
