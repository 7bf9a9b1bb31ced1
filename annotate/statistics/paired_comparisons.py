"""The input of the Bradley-Terry family: which of two players won, checked and coded once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from annotate.statistics.estimate import Reason
from annotate.statistics.judgments import CHOICES, TIE, A, checked_labels
from annotate.statistics.truth import Floats


@dataclass(frozen=True)
class Part:
    """Players that a chain of wins leads round, and whether they ever won, or lost, against the players outside."""

    players: list[Any]
    wins: bool
    losses: bool


@dataclass(frozen=True, eq=False)
class PairedComparisons:
    """n judgments of pairs of players (models, responses), as codes with the ids that they stand for.

    players        (P,) distinct ids, sorted; `first[i]` and `second[i]` index them
    annotators     (J,) distinct ids, sorted; `annotator[i]` indexes them
    first, second  (n,) the two players: label A says that the first is better
    label          (n,) A, TIE or B
    item           (n,) what was judged: judgments of one item hang together
    cluster        (n,) what items belong to: those of one cluster hang together too, as a prompt's, in which one
                   response is compared with several others
    effects        names of what else moves a choice towards the first
    effect         (n, effects) how far it did so in this judgment, 0 for not at all
    """

    players: NDArray[Any]
    annotators: NDArray[Any]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    label: NDArray[np.int64]
    annotator: NDArray[np.int64]
    item: NDArray[np.int64]
    cluster: NDArray[np.int64]
    effects: tuple[str, ...]
    effect: Floats

    @classmethod
    def from_arrays(
        cls,
        first: ArrayLike,
        second: ArrayLike,
        labels: ArrayLike,
        *,
        annotators: ArrayLike | None = None,
        items: ArrayLike | None = None,
        clusters: ArrayLike | None = None,
        effects: Mapping[str, ArrayLike] | None = None,
    ) -> Self:
        """Codes ids (numbers or strings) and labels, all (n,).

        annotators  one for all if not given
        items       every judgment its own if not given
        clusters    every item its own if not given
        effects     name -> (n,) finite numbers, e.g. position: +1 where the first was shown first, -1 where second;
                    length: log length of the first's text minus that of the second's

        Raises ValueError for unequal lengths, a label that is not A, TIE or B, a player against itself, or an effect
        that is not finite.
        """
        label = checked_labels(labels, CHOICES)
        n = label.size
        ones, others = np.asarray(first).ravel(), np.asarray(second).ravel()
        _, item = np.unique(np.arange(n) if items is None else np.asarray(items), return_inverse=True)
        _, cluster = np.unique(item if clusters is None else np.asarray(clusters), return_inverse=True)
        annotator_ids, annotator = np.unique(
            np.zeros(n, dtype=np.int64) if annotators is None else np.asarray(annotators), return_inverse=True
        )
        columns = {name: np.asarray(values, dtype=float) for name, values in (effects or {}).items()}
        _refuse_unequal(
            n, {"first": ones, "second": others, "items": item, "clusters": cluster, "annotators": annotator, **columns}
        )
        players, player = np.unique(np.concatenate([ones, others]), return_inverse=True)
        itself = np.flatnonzero(player[:n] == player[n:])
        if itself.size:
            raise ValueError(f"Comparison {itself[0]} is of {ones[itself[0]]} with itself ({itself.size} such in all).")
        for name, values in columns.items():
            if not np.isfinite(values).all():
                raise ValueError(f"The effect {name} must be finite in every comparison.")
        return cls(
            players=players,
            annotators=annotator_ids,
            first=player[:n].astype(np.int64),
            second=player[n:].astype(np.int64),
            label=label,
            annotator=annotator.astype(np.int64),
            item=item.astype(np.int64),
            cluster=cluster.astype(np.int64),
            effects=tuple(columns),
            effect=np.column_stack([np.zeros((n, 0)), *columns.values()]),
        )

    def __len__(self) -> int:
        return self.label.size

    @property
    def clusters(self) -> int:
        return int(self.cluster.max()) + 1

    def why_not_rated(self) -> Reason | None:
        """Why strengths have no finite maximum-likelihood estimate, or None where they have one.

        They have one if and only if from every player a chain of wins (a tie counts for both) leads to every other.
        Ford (1957), American Mathematical Monthly 64 (8, part 2):28; with ties Davidson (1970), JASA 65:317.
        """
        if not len(self):
            return Reason.NO_JUDGMENTS
        if (self.label == TIE).all():
            return Reason.ONLY_TIES
        beaten = self._graph_of_wins()
        if connected_components(beaten, connection="weak", return_labels=False) > 1:
            return Reason.DISCONNECTED
        strong = connected_components(beaten, connection="strong", return_labels=False)
        return Reason.SEPARATED if strong > 1 else None

    def parts(self) -> list[Part]:
        """Why strengths have no estimate: the groups of players between which no chain of wins leads both ways.

        One part where strengths have an estimate; empty without judgments.
        """
        if not len(self):
            return []
        beaten = self._graph_of_wins()
        _number, member = connected_components(beaten, connection="strong")
        winner, loser = beaten.nonzero()
        across = member[winner] != member[loser]
        above, below = set(member[winner[across]].tolist()), set(member[loser[across]].tolist())
        return [
            Part(self.players[member == part].tolist(), wins=part in above, losses=part in below)
            for part in np.unique(member).tolist()
        ]

    def _graph_of_wins(self) -> csr_array:
        tie, first_won = self.label == TIE, self.label == A
        winner = np.concatenate([np.where(first_won, self.first, self.second), self.first[tie]])
        loser = np.concatenate([np.where(first_won, self.second, self.first), self.second[tie]])
        return csr_array((np.ones(winner.size), (winner, loser)), shape=(self.players.size,) * 2)


def _refuse_unequal(n: int, columns: Mapping[str, NDArray[Any]]) -> None:
    for name, values in columns.items():
        if values.shape != (n,):
            raise ValueError(f"There are {n} labels, but {name} has the shape {values.shape}.")
