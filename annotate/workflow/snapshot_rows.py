"""A row of a snapshot as it is hashed and written: content only, no ids and no names of this database."""

import hashlib
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from annotate.models import Choice, Comparison, Degree, Response, Split
from annotate.workflow.parquet_folder import MESSAGE

PSEUDONYM = 16
"""Hexadecimal digits: among a million annotators two would share one with a chance of 3 in 100 million."""

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", pa.list_(MESSAGE)),
        ("chosen", pa.list_(MESSAGE)),
        ("rejected", pa.list_(MESSAGE)),
        ("weight", pa.float64()),
        ("soft_label", pa.float64()),
        ("n_votes", pa.int64()),
        ("votes_chosen", pa.int64()),
        ("votes_tie", pa.int64()),
        ("votes_rejected", pa.int64()),
        ("annotators", pa.list_(pa.string())),
        ("tags", pa.list_(pa.string())),
        ("language", pa.string()),
        ("strength", pa.float64()),
    ]
)
# Of snapshots with adjudications only: without them the same state keeps the hash it had before there were any.
ADJUDICATED = pa.field("adjudicated", pa.bool_())
# Of snapshots with a vote that says how much better it finds a response, for the same reason.
DEGREES = pa.field("degrees", pa.list_(pa.int64()))
MOST = max(Degree).value


def schema_of(*, adjudicated_first: bool, with_degrees: bool = False) -> pa.Schema:
    marked = SCHEMA.append(ADJUDICATED) if adjudicated_first else SCHEMA
    return marked.append(DEGREES) if with_degrees else marked


@dataclass(frozen=True, slots=True)
class Vote:
    """One judgment that counts; `annotator` is a pseudonym."""

    judgment: int
    choice: str
    annotator: str
    degree: int | None = None


@dataclass(frozen=True)
class Row:
    """One comparison that is decided; of a tie response A stands as chosen, and `soft_label` is 0.5. `adjudication` is
    the id of the final word that decided it, whatever the votes say."""

    comparison: Comparison
    a_wins: bool
    soft_label: float
    votes: list[Vote]
    split: Split
    adjudication: int | None = None

    @property
    def responses(self) -> tuple[Response, Response]:
        """Chosen, rejected."""
        pair = (self.comparison.response_a, self.comparison.response_b)
        return pair if self.a_wins else pair[::-1]

    @property
    def sides(self) -> tuple[Choice, Choice]:
        """Chosen, rejected."""
        return (Choice.A, Choice.B) if self.a_wins else (Choice.B, Choice.A)

    @property
    def degrees(self) -> list[int]:
        """Of the votes that have one, below 0 for the rejected response. Sorted: who gave which is not told."""
        return sorted(self._toward_chosen(vote) for vote in self.votes if vote.degree)

    @property
    def strength(self) -> float:
        """How much better the chosen response is, 0 to 1: the mean of the votes' degrees toward it as a share of the
        highest, a tie 0, not below 0. A vote without a degree counts in full, as all do where none has one: then it is
        how far the votes are from even, 2p - 1 of their share p. A final word has 1, a tie 0.

        Never of the soft label: an aggregation can be sure which response is better where the votes hardly differ."""
        if self.soft_label == 0.5 or self.adjudication is not None:
            return abs(2 * self.soft_label - 1)
        if self.degrees:
            return max(0.0, sum(map(self._toward_chosen, self.votes)) / (MOST * len(self.votes)))
        return max(0.0, 2 * self._share_of_votes - 1)

    @property
    def _share_of_votes(self) -> float:
        """For the chosen response, a tie half: to the last bit the soft label that a majority makes of the votes, so
        that snapshots by majority keep their hashes."""
        choices = [vote.choice for vote in self.votes]
        share_a = (choices.count(Choice.A) + choices.count(Choice.TIE) / 2) / len(choices)
        return share_a if self.a_wins else 1 - share_a

    def _toward_chosen(self, vote: Vote) -> int:
        degree = vote.degree or MOST
        return {self.sides[0]: degree, Choice.TIE: 0, self.sides[1]: -degree}[Choice(vote.choice)]

    def canonical(self, *, adjudicated_first: bool = False, with_degrees: bool = False) -> dict[str, Any]:
        """What is hashed and written. Annotators are sorted: who gave which vote is not told."""
        marked = {ADJUDICATED.name: self.adjudication is not None} if adjudicated_first else {}
        graded = {DEGREES.name: self.degrees} if with_degrees else {}
        chosen, rejected = self.responses
        choices = [vote.choice for vote in self.votes]
        prompt = self.comparison.prompt
        return {
            "id": self.comparison.key,
            "prompt": prompt.messages,
            "chosen": [{"role": "assistant", "content": chosen.text}],
            "rejected": [{"role": "assistant", "content": rejected.text}],
            # What is not sure lowers the soft label; a weight below 1 would count the same doubt twice.
            "weight": 1.0,
            "soft_label": self.soft_label,
            "n_votes": len(choices),
            "votes_chosen": choices.count(self.sides[0]),
            "votes_tie": choices.count(Choice.TIE),
            "votes_rejected": choices.count(self.sides[1]),
            "annotators": sorted(vote.annotator for vote in self.votes),
            "tags": prompt.tags,
            "language": prompt.language,
            "strength": self.strength,
            **marked,
            **graded,
        }


def pseudonym(slug: str, username: str) -> str:
    """The same person in the same project is the same in every snapshot, on every host; in another project another.

    It hides names from readers of the data, not from somebody who has a list of names to try.
    """
    return hashlib.sha256(f"{slug}\n{username}".encode()).hexdigest()[:PSEUDONYM]
