"""The coefficients once more, straight from their definitions: judgment by judgment, without matrices."""

from collections.abc import Callable, Iterable
from itertools import combinations, permutations

import numpy as np

from .tables import MISSING

Weight = Callable[[float, float], float]


def same(one: float, other: float) -> float:
    return float(one == other)


def units_of(table: np.ndarray) -> list[list[int]]:
    """The labels of every item that has any, from (raters, items)."""
    return [column[column != MISSING].tolist() for column in table.T if (column != MISSING).any()]


def corrected(observed: float, chance: float) -> float:
    return (observed - chance) / (1 - chance)


def agreement_within(units: Iterable[list[int]], weight: Weight = same) -> float:
    """The mean over items with two judgments of the mean agreement of their ordered pairs."""
    paired = [unit for unit in units if len(unit) >= 2]
    return float(np.mean([np.mean([weight(x, y) for x, y in permutations(unit, 2)]) for unit in paired]))


def shares(units: list[list[int]]) -> dict[int, float]:
    """The mean over items of each label's share of the item's judgments."""
    used = sorted({label for unit in units for label in unit})
    return {label: float(np.mean([unit.count(label) / len(unit) for unit in units])) for label in used}


def fleiss(table: np.ndarray) -> float:
    units = units_of(table)
    return corrected(agreement_within(units), sum(share**2 for share in shares(units).values()))


def gwet(table: np.ndarray, weight: Weight = same) -> float:
    units = units_of(table)
    found = shares(units)
    total = sum(weight(x, y) for x in found for y in found)
    scale = total / (len(found) * (len(found) - 1))
    return corrected(agreement_within(units, weight), scale * sum(share * (1 - share) for share in found.values()))


def brennan_prediger(table: np.ndarray) -> float:
    units = units_of(table)
    return corrected(agreement_within(units), 1 / len(shares(units)))


def conger(table: np.ndarray) -> float:
    labels = sorted(set(table[table != MISSING].tolist()))
    raters = [row[row != MISSING] for row in table if (row != MISSING).any()]
    own = np.array([[np.mean(row == label) for label in labels] for row in raters])
    spread = own.var(axis=0, ddof=1) if len(raters) > 1 else np.zeros(len(labels))
    return corrected(agreement_within(units_of(table)), float((own.mean(axis=0) ** 2 - spread / len(raters)).sum()))


def cohen(first: list[int], second: list[int], weight: Weight = same) -> float:
    """Chance: every label of the first against every label of the second, on whichever items."""
    observed = np.mean([weight(x, y) for x, y in zip(first, second, strict=True)])
    return corrected(float(observed), float(np.mean([weight(x, y) for x in first for y in second])))


def scott(first: list[int], second: list[int]) -> float:
    both = first + second
    observed = np.mean([x == y for x, y in zip(first, second, strict=True)])
    return corrected(float(observed), float(np.mean([x == y for x in both for y in both])))


def concordance(ranks: np.ndarray) -> float:
    """Kendall's W (items, raters) from the covariances of midranks, pair by pair."""
    pairs = combinations(ranks.T, 2)
    raters = ranks.shape[1]
    spread = np.array([column.var() for column in ranks.T])
    covariance = sum(np.cov(x, y, ddof=0)[0, 1] for x, y in pairs)
    return float((spread.sum() + 2 * covariance) / (raters * spread.sum()))


def variance_table(ratings: np.ndarray) -> dict[str, float]:
    """Mean squares of a complete table (items, raters), cell by cell."""
    n, k = ratings.shape
    grand = ratings.mean()
    cells = [(i, j) for i in range(n) for j in range(k)]
    items = sum((ratings[i].mean() - grand) ** 2 for i, _ in cells)
    raters = sum((ratings[:, j].mean() - grand) ** 2 for _, j in cells)
    within = sum((ratings[i, j] - ratings[i].mean()) ** 2 for i, j in cells)
    rest = sum((ratings[i, j] - ratings[i].mean() - ratings[:, j].mean() + grand) ** 2 for i, j in cells)
    return {
        "MSR": items / (n - 1),
        "MSC": raters / (k - 1),
        "MSW": within / (n * (k - 1)),
        "MSE": rest / ((n - 1) * (k - 1)),
    }
