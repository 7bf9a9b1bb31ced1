"""Ratings of models out of all human comparisons of their samples: intervals, win rates, and who can be told apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from annotate.statistics.bradley_terry import BradleyTerry, bradley_terry
from annotate.statistics.estimate import Estimate, Undefined
from annotate.statistics.intervals import LEVEL, clustered_wilson_interval
from annotate.statistics.paired_comparisons import PairedComparisons
from annotate.statistics.truth import Floats


@dataclass(frozen=True)
class ModelRatings:
    """Models in the order of their ratings, the best first.

    models     ids
    ratings    log-odds against the average of these models; n is the number of items the model was compared on
    effects    name -> log-odds towards the first per unit
    win_rates  [i][j]: how often i was better than j, a tie being half; None on the diagonal and for pairs never met
    groups     places (first, last) in the order, of models next to each other none of which can be told from another;
               every model is in at least one, and a model alone in its group differs from all others
    method     the fit, for its convergence and the reliability of annotators
    """

    models: list[Any]
    ratings: list[Estimate]
    effects: dict[str, Estimate]
    win_rates: list[list[Estimate | None]]
    groups: list[tuple[int, int]]
    method: BradleyTerry


def model_ratings(comparisons: PairedComparisons, *, level: float = LEVEL) -> ModelRatings | Undefined:
    """Bradley-Terry with Davidson's ties over all comparisons, Wald's intervals with t quantiles.

        s_i ± t √V_ii,   V by clusters of items; m - P degrees of freedom, m clusters and P models
        i and j are told apart when |s_i - s_j| / √(V_ii + V_jj - 2 V_ij) is significant after Holm's correction
        over all pairs, so that among models that are all alike a difference is seen in at most 1 - level of projects

    Undefined with the reason of `bradley_terry`; `win_rates` needs no such condition.
    Davidson (1970), JASA 65:317; Holm (1979), Scandinavian Journal of Statistics 6:65. Coverage: docs/performance.md.
    """
    fit = bradley_terry(comparisons)
    if isinstance(fit, Undefined):
        return fit
    players = comparisons.players.size
    order = np.argsort(-fit.strength, kind="stable")
    freedom = max(comparisons.clusters - players, 1)
    width = float(stdtrit(freedom, (1 + level) / 2))
    error = np.sqrt(np.maximum(np.diag(fit.covariance), 0.0))  # next to 0 it may round below
    met = _items_of_players(comparisons)
    rates = win_rates(comparisons, level=level)
    return ModelRatings(
        models=comparisons.players[order].tolist(),
        ratings=[_wald(fit.strength[i], width * error[i], int(met[i])) for i in order],
        effects={
            name: _wald(value, width * spread, len(comparisons))
            for name, value, spread in zip(comparisons.effects, fit.effect, error[players:], strict=True)
        },
        win_rates=[[rates[i][j] for j in order] for i in order],
        groups=_groups(_told_apart(fit, freedom, 1 - level)[np.ix_(order, order)]),
        method=fit,
    )


def win_rates(comparisons: PairedComparisons, *, level: float = LEVEL) -> list[list[Estimate | None]]:
    """[i][j] for players i and j: the mean over their items of (wins of i + ties / 2) / judgments, Wilson's interval.

    One trial an item, because judgments of one item hang together, and as many independent ones as its clusters allow
    (`clustered_wilson_interval`); n counts items.
    """
    size = comparisons.players.size
    score, item = (1 - comparisons.label / 2), comparisons.item
    low, high = (np.minimum(comparisons.first, comparisons.second), np.maximum(comparisons.first, comparisons.second))
    for_low = np.where(comparisons.first == low, score, 1 - score)
    cells, place, cell = np.unique(np.stack([low, high, item]), axis=1, return_index=True, return_inverse=True)
    mean, cluster = np.bincount(cell, for_low) / np.bincount(cell), comparisons.cluster[place]
    pair, starts = np.unique(cells[0] * size + cells[1], return_index=True)
    rates: list[list[Estimate | None]] = [[None] * size for _ in range(size)]
    for which, start, end in zip(pair.tolist(), starts, np.append(starts[1:], cell.max() + 1), strict=True):
        i, j = divmod(which, size)
        rates[i][j] = _win_rate(mean[start:end], cluster[start:end], level)
        rates[j][i] = _win_rate(1 - mean[start:end], cluster[start:end], level)
    return rates


def _win_rate(won: Floats, cluster: NDArray[np.int64], level: float) -> Estimate:
    low, high = clustered_wilson_interval(won, cluster, level=level)
    return Estimate(value=float(won.mean()), low=low, high=high, n=won.size)


def _wald(value: float, half_width: float, n: int) -> Estimate:
    return Estimate(value=float(value), low=float(value - half_width), high=float(value + half_width), n=n)


def _items_of_players(comparisons: PairedComparisons) -> NDArray[np.int64]:
    size = int(comparisons.item.max()) + 1
    seen = np.concatenate([comparisons.first * size + comparisons.item, comparisons.second * size + comparisons.item])
    return np.bincount(np.unique(seen) // size, minlength=comparisons.players.size)


def _told_apart(fit: BradleyTerry, freedom: int, alpha: float) -> NDArray[np.bool_]:
    """(P, P): Holm's step-down over the pairs."""
    players = fit.strength.size
    first, second = np.triu_indices(players, 1)
    spread = np.diag(fit.covariance)[:players]
    variance = spread[first] + spread[second] - 2 * fit.covariance[first, second]
    t = np.abs(fit.strength[first] - fit.strength[second]) / np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    p = 2 * stdtr(freedom, -t)
    order = np.argsort(p, kind="stable")
    passed = np.minimum.accumulate(p[order] <= alpha / (order.size - np.arange(order.size)))
    apart = np.zeros((players, players), dtype=bool)
    apart[first[order], second[order]] = apart[second[order], first[order]] = passed
    return apart


def _groups(apart: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Longest runs of models in order without two that are told apart; runs inside a longer one are left out."""
    runs: list[tuple[int, int]] = []
    for start in range(apart.shape[0]):
        last = start
        while last + 1 < apart.shape[0] and not apart[start : last + 1, last + 1].any():
            last += 1
        if not runs or last > runs[-1][1]:
            runs.append((start, last))
    return runs
