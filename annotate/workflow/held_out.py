"""Annotators held out of a snapshot: who they are, and what the training split's labels are made of without them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.models import Aggregation, Comparison, Split
from annotate.workflow.aggregation import Decision, decide
from annotate.workflow.exceptions import NobodyHeldOut, NothingToInferFrom
from annotate.workflow.final_words import Word, decisions_of
from annotate.workflow.snapshot_rows import Vote

TEST_ANNOTATORS = "test_annotators"
"""The file of test comparisons as those held out judged them, and the count of its rows."""
Votes = Mapping[int, list[Vote]]


@dataclass(frozen=True)
class Labels:
    """What the labels of a split are made of, and what they are, each by comparison."""

    votes: Votes
    words: Mapping[int, Word]
    decisions: Mapping[int, Decision]


def draw(votes: Votes, share: float, seed: int) -> frozenset[str]:
    """Pseudonyms. Like a prompt, a person keeps their side in every later snapshot with the same seed and share.

    Raises NobodyHeldOut where nobody is on one of the two sides.
    """
    people = _people(votes)
    if len(people) < 2:
        raise NobodyHeldOut(
            ngettext(
                "Of %(n)s annotator none can be held out.", "Of %(n)s annotators none can be held out.", len(people)
            )
            % {"n": len(people)},
            _("Let a second person judge, or hold out no annotators."),
            where="annotator_share",
        )
    drawn = frozenset(person for person in people if _place(person, seed) < share)
    if 0 < len(drawn) < len(people):
        return drawn
    said = _("A share of %(share)s with the seed %(seed)s holds out none of %(n)s annotators.")
    hint = _("Take a larger share, or another seed.")
    if drawn:
        said = _("A share of %(share)s with the seed %(seed)s holds out all of %(n)s annotators.")
        hint = _("Take a smaller share, or another seed.")
    raise NobodyHeldOut(said % {"share": share, "seed": seed, "n": len(people)}, hint, where="annotator_share")


def labels_by_split(
    aggregation: str,
    comparisons: Sequence[Comparison],
    votes: Votes,
    words: Mapping[int, Word],
    held_out: frozenset[str],
) -> dict[Split, Labels]:
    """Those of the test split are by everybody's votes, whoever is held out.

    Those of the training split are by the others' votes and final words alone, and so is what an aggregation learns of
    how far people can be relied on. Raises NothingToInferFrom as `decide` does.
    """
    everybody = Labels(votes, words, decisions_of(aggregation, comparisons, votes, words))
    if not held_out:
        return dict.fromkeys(Split, everybody)
    known = _of(votes, _people(votes) - held_out)
    # That an item is bad says nothing of what anybody prefers.
    spoken = {pk: word for pk, word in words.items() if word.is_bad or word.adjudicator not in held_out}
    try:
        decisions = decisions_of(aggregation, comparisons, known, spoken)
    except NothingToInferFrom as problem:
        said = _("Without the annotators held out: %(problem)s") % {"problem": problem.message}
        raise NothingToInferFrom(said, problem.hint, where=problem.where) from problem
    return {Split.TRAIN: Labels(known, spoken, decisions), Split.TEST: everybody}


def labels_of(held_out: frozenset[str], comparisons: Sequence[Comparison], votes: Votes) -> Labels:
    """By the majority of their own votes, whatever the aggregation: a model of how reliable people are would make what
    these people prefer into what the others do, and a few of them are too few to learn one from."""
    theirs = _of(votes, held_out)
    judged = [each for each in comparisons if each.pk in theirs]
    decisions = decide(Aggregation.MAJORITY, judged, [theirs[each.pk] for each in judged])
    return Labels(theirs, {}, {each.pk: decision for each, decision in zip(judged, decisions, strict=True)})


def counts_of(held_out: frozenset[str], comparisons: Iterable[Comparison], votes: Votes) -> dict[str, int]:
    """`comparisons` are the training split's."""
    taken_out = _of({each.pk: votes.get(each.pk, []) for each in comparisons}, held_out)
    return {
        "annotators": len(_people(votes)),
        "annotators_held_out": len(held_out),
        "judgments_held_out": sum(map(len, taken_out.values())),
        "held_out_only": 0,
        TEST_ANNOTATORS: 0,
        "test_annotators_undecided": 0,
    }


def _people(votes: Votes) -> frozenset[str]:
    return frozenset(vote.annotator for of_one in votes.values() for vote in of_one)


def _of(votes: Votes, people: frozenset[str]) -> dict[int, list[Vote]]:
    """Where they have voted at all."""
    theirs = {pk: [vote for vote in of_one if vote.annotator in people] for pk, of_one in votes.items()}
    return {pk: of_one for pk, of_one in theirs.items() if of_one}


def _place(person: str, seed: int) -> float:
    """From 0 to 1."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{person}".encode()).digest()[:8], "big") / 2**64
