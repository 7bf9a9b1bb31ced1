"""Final words: what adjudication makes of the labels of a snapshot, before any aggregation of votes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annotate.models import Adjudication, Comparison, Project, Verdict
from annotate.statistics.judgments import TIE, A, B
from annotate.workflow.aggregation import Decision, decide
from annotate.workflow.snapshot_rows import Vote, pseudonym

# A final word is certain: P(a is better) by verdict.
LABELS = {Verdict.A: (A, 1.0), Verdict.TIE: (TIE, 0.5), Verdict.B: (B, 0.0)}


@dataclass(frozen=True, slots=True)
class Word:
    """A current adjudication, and the number of the guideline version it was made under; `adjudicator` is the pseudonym
    that their votes have too."""

    adjudication: int
    verdict: Verdict
    version: int | None
    adjudicator: str

    @property
    def is_bad(self) -> bool:
        return self.verdict == Verdict.BAD


def words_come_first(project: Project) -> bool:
    """Whether final words go before the votes where nobody says: by every door, whoever adjudicates means it to
    count."""
    return project.comparisons.filter(is_adjudicated=True).exists()


def words_of(project: Project) -> dict[int, Word]:
    """By comparison."""
    rows = Adjudication.objects.current().filter(comparison__project=project)
    columns = rows.values_list("comparison_id", "id", "verdict", "guideline_version__number", "adjudicator__username")
    return {
        comparison: Word(pk, Verdict(verdict), version, pseudonym(project.slug, username))
        for comparison, pk, verdict, version, username in columns.iterator(chunk_size=5000)
    }


def decisions_of(
    aggregation: str, comparisons: Sequence[Comparison], votes: Mapping[int, list[Vote]], words: Mapping[int, Word]
) -> dict[int, Decision]:
    """By comparison: the final word, or else what the aggregation makes of the votes. Bad items have no decision.

    An aggregation that learns from all votes how far people can be relied on learns from those on adjudicated
    comparisons too, and not from those on bad items, which no answer fits. Raises NothingToInferFrom as `decide` does.
    """
    voted = [each for each in comparisons if votes.get(each.pk) and not _is_bad(words, each)]
    learnt = decide(aggregation, voted, [votes[each.pk] for each in voted])
    by_votes = {each.pk: decision for each, decision in zip(voted, learnt, strict=True)}
    final = {
        pk: Decision(*LABELS[word.verdict], votes=len(votes.get(pk, [])))
        for pk, word in words.items()
        if not word.is_bad
    }
    return {**by_votes, **final}


def _is_bad(words: Mapping[int, Word], comparison: Comparison) -> bool:
    word = words.get(comparison.pk)
    return word is not None and word.is_bad
