"""Plackett-Luce: strengths of players out of rankings of two or more of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from annotate.statistics.bradley_terry import centred
from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.newton import climb_to_summit
from annotate.statistics.truth import Floats

_FAR = 30.0


@dataclass(frozen=True, eq=False)
class PlackettLuce:
    """Strengths, and what follows from them.

    players        (P,) distinct ids, sorted
    strength       (P,) natural logarithm of the odds, mean 0
    covariance     (P,) squared, clustered by ranking
    probabilities  (P,) of being placed first when all are ranked
    annotators     (J,) distinct ids, sorted
    reliability    (J,) mean probability that the strengths give to the order of two neighbours in a ranking
    converged, iterations, log_likelihood  as in `Truth`
    """

    players: NDArray[Any]
    strength: Floats
    covariance: Floats
    probabilities: Floats
    annotators: NDArray[Any]
    reliability: Floats
    converged: bool
    iterations: int
    log_likelihood: Floats


@dataclass(frozen=True)
class _Choices:
    """Every place but the last of every ranking: one was chosen among those not placed before.

    chosen (c,), member (choices x players) 0/1, ranking (c,), runner_up (c,) the next in the ranking
    """

    chosen: NDArray[np.int64]
    member: csr_array
    ranking: NDArray[np.int64]
    runner_up: NDArray[np.int64]


def plackett_luce(rankings: Sequence[ArrayLike], annotators: ArrayLike | None = None) -> PlackettLuce | Undefined:
    """Maximum likelihood by Newton's method.

        P(i_1 > i_2 > ... > i_m) = Π_{r<m} e^{s_{i_r}} / Σ_{q≥r} e^{s_{i_q}}

    rankings    each a flat array of ids, best first, none twice; of different lengths, and of different players
    annotators  (rankings,) ids; one for all if not given

    With pairs only it is Bradley-Terry without ties; more than two responses ranked at once need no cutting into
    pairs, which would count their judgments as independent. Undefined without rankings, and where the likelihood
    has no maximum. Raises ValueError for a ranking that is not flat, is shorter than two or names somebody twice.
    Plackett (1975), Applied Statistics 24:193; Luce (1959), Individual Choice Behavior; Hunter (2004), Annals of
    Statistics 32:384, section 5.
    """
    if not len(rankings):
        return Undefined(Reason.NO_JUDGMENTS)
    players, choices = _choices([np.asarray(ranking) for ranking in rankings])
    reason = _why_not(choices, players.size)
    if reason is not None:
        return Undefined(reason)
    to_centre = centred(players.size, 0)
    top = climb_to_summit(lambda point: _look(choices, to_centre, point), np.zeros(players.size - 1))
    strength = to_centre @ top.point
    if not top.converged or np.abs(strength).max() > _FAR:
        return Undefined(Reason.SEPARATED)
    annotator_ids, annotator = np.unique(
        np.zeros(len(rankings), dtype=np.int64) if annotators is None else np.asarray(annotators), return_inverse=True
    )
    if annotator.size != len(rankings):
        raise ValueError(f"There are {len(rankings)} rankings and {annotator.size} annotators.")
    weight = np.exp(strength - strength.max())
    return PlackettLuce(
        players=players,
        strength=strength,
        covariance=to_centre @ _clustered(choices, to_centre, strength, top.information) @ to_centre.T,
        probabilities=weight / weight.sum(),
        annotators=annotator_ids,
        reliability=_agreement(choices, strength, annotator),
        converged=True,
        iterations=top.trace.size,
        log_likelihood=top.trace,
    )


def _choices(rankings: list[NDArray[Any]]) -> tuple[NDArray[Any], _Choices]:
    for place, ranking in enumerate(rankings):
        if ranking.ndim != 1 or ranking.size < 2 or np.unique(ranking).size != ranking.size:
            raise ValueError(f"Ranking {place} must name two players or more, each once; got {ranking.tolist()}.")
    sizes = np.array([ranking.size for ranking in rankings])
    players, flat = np.unique(np.concatenate(rankings), return_inverse=True)
    ranking = np.repeat(np.arange(sizes.size), sizes)
    end = np.cumsum(sizes)[ranking]
    at = np.flatnonzero(np.arange(flat.size) < end - 1)
    width = end[at] - at
    row = np.repeat(np.arange(at.size), width)
    offset = np.arange(row.size) - np.repeat(np.cumsum(width) - width, width)
    member = csr_array((np.ones(row.size), (row, flat[np.repeat(at, width) + offset])), shape=(at.size, players.size))
    return players, _Choices(flat[at], member, ranking[at], flat[at + 1])


def _why_not(choices: _Choices, players: int) -> Reason | None:
    """Hunter's assumption 2: in every partition into two groups, somebody of each is placed before one of the other."""
    before = csr_array((np.ones(choices.chosen.size), (choices.chosen, choices.runner_up)), shape=(players, players))
    if connected_components(before, connection="weak", return_labels=False) > 1:
        return Reason.DISCONNECTED
    return Reason.SEPARATED if connected_components(before, connection="strong", return_labels=False) > 1 else None


def _look(choices: _Choices, to_centre: Floats, point: Floats) -> tuple[float, Floats, Floats]:
    strength = to_centre @ point
    weight = np.exp(strength - strength.max())
    total = choices.member @ weight
    value = (np.log(weight[choices.chosen]) - np.log(total)).sum()
    share = _shares(choices, weight, total)
    wins = np.bincount(choices.chosen, minlength=strength.size)
    expected = share.sum(axis=0)
    bend = (share.T @ share).toarray() - np.diag(expected)
    return float(value), to_centre.T @ (wins - expected), to_centre.T @ bend @ to_centre


def _shares(choices: _Choices, weight: Floats, total: Floats) -> csr_array:
    """(choices, players): probability of each of those not placed yet."""
    return csr_array(choices.member * weight[None, :] / total[:, None])


def _clustered(choices: _Choices, to_centre: Floats, strength: Floats, information: Floats) -> Floats:
    weight = np.exp(strength - strength.max())
    made = np.arange(choices.chosen.size)
    won = csr_array((np.ones(made.size), (made, choices.chosen)), shape=choices.member.shape)
    score = won - _shares(choices, weight, choices.member @ weight)
    rankings = int(choices.ranking.max()) + 1
    together = csr_array((np.ones(made.size), (choices.ranking, made)), shape=(rankings, made.size))
    summed = (together @ score) @ to_centre
    inverse = np.linalg.inv(information)
    return inverse @ (summed.T @ summed) @ inverse * rankings / max(rankings - 1, 1)


def _agreement(choices: _Choices, strength: Floats, annotator: NDArray[np.int64]) -> Floats:
    lead = strength[choices.chosen] - strength[choices.runner_up]
    who = annotator[choices.ranking]
    return np.bincount(who, 1 / (1 + np.exp(-lead))) / np.bincount(who)
