"""Intraclass correlation: how much of the variance of ratings lies between the items."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from annotate.statistics.chance_corrected import Resampling
from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.intervals import LEVEL, REPLICATES, Floats, PooledStatistic, wilson_interval
from annotate.statistics.ratings import checked_ratings, complete_items, why_too_few
from annotate.statistics.studentised import studentised_interval

Form = Literal["ICC1", "ICC2", "ICC3", "ICC1k", "ICC2k", "ICC3k"]
FORMS: tuple[Form, ...] = get_args(Form)
_ROUNDING = 1e-12


def intraclass_correlation(
    ratings: ArrayLike, form: Form = "ICC2", *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> Outcome:
    """One of Shrout and Fleiss' six correlations, with a studentised bootstrap interval over items.

        ICC1 (1,1)  (MSB - MSW) / (MSB + (k-1) MSW)                      raters differ from item to item
        ICC2 (2,1)  (MSR - MSE) / (MSR + (k-1) MSE + k (MSC - MSE) / n)  the same raters, a sample of raters
        ICC3 (3,1)  (MSR - MSE) / (MSR + (k-1) MSE)                      these raters and no others
        ICC1k ..    k ρ / (1 + (k-1) ρ)                                  the mean of k ratings

    ratings (items, raters), NaN where missing. ICC1 takes every item with two ratings, k being the average
    number (N - Σ m² / N) / (n - 1); ICC2 and ICC3 take the items that every rater rated.
    n of the estimate is the number of items, chance 0. Undefined without two such items or two raters, and
    where the items do not differ. Raises ValueError for a wrong shape, an infinite rating or an unknown form.
    Shrout & Fleiss (1979), Psychological Bulletin 86:420; McGraw & Wong (1996), Psychological Methods 1:30.
    """
    if form not in FORMS:
        raise ValueError(f"Unknown form: {form!r}; choose one of {', '.join(FORMS)}.")
    table = checked_ratings(ratings)
    one_way = form.startswith("ICC1")
    kept = table[(~np.isnan(table)).sum(axis=1) >= 2] if one_way else complete_items(table)
    reason = _why_too_few_pairs(table, kept) if one_way else why_too_few(table, kept)
    if reason is not None:
        return Undefined(reason)
    kept = kept - np.nanmean(kept)
    terms = _one_way_terms(kept) if one_way else _two_way_terms(kept)
    statistic = PooledStatistic(terms=lambda _: terms, value=_VALUES[form[:4]])
    value = float(statistic.value(terms.sum(axis=0)))
    if not np.isfinite(value) or _items_are_alike(kept):
        return Undefined(Reason.NO_SPREAD)
    bounds = studentised_interval(
        terms, np.ones(kept.shape[0], dtype=np.int64), statistic, Resampling(replicates, level, seed)
    )
    raters = _raters_an_item(terms) if one_way else kept.shape[1]
    low, high = bounds or _bounds_without_spread(value, kept.shape[0], raters, level)
    numbers = (value, min(low, value), max(high, value))
    if form.endswith("k"):
        return _of_the_mean(numbers, raters, kept.shape[0])
    return Estimate(*numbers, n=kept.shape[0], chance=0.0)


def _why_too_few_pairs(table: Floats, paired: Floats) -> Reason | None:
    if paired.shape[0] >= 2:
        return None
    if paired.shape[0] == 1:
        return Reason.ONE_ITEM
    return Reason.NO_OVERLAP if table.size else Reason.NO_JUDGMENTS


def _items_are_alike(centred: Floats) -> bool:
    """No rater tells any item from another."""
    return bool(np.nanmax(np.nanmax(centred, axis=0) - np.nanmin(centred, axis=0)) <= _ROUNDING * _scale(centred))


def _scale(centred: Floats) -> float:
    return max(1.0, float(np.nanmax(np.abs(centred))))


def _one_way_terms(ratings: Floats) -> Floats:
    """Per item 1, m, m², Σ x, Σ x², (Σ x)² / m; shape (items, 6)."""
    m = (~np.isnan(ratings)).sum(axis=1).astype(float)
    total = np.nansum(ratings, axis=1)
    return np.column_stack([np.ones_like(m), m, m**2, total, np.nansum(ratings**2, axis=1), total**2 / m])


def _raters_an_item(terms: Floats) -> float:
    n, ratings, squares = terms[:, :3].sum(axis=0)
    return float((ratings - squares / ratings) / (n - 1))


def _one_way(sums: Floats) -> Floats:
    n, ratings, squares, total, square_sum, between = np.moveaxis(sums, -1, 0)
    mean_between = (between - total**2 / ratings) / (n - 1)
    mean_within = (square_sum - between) / (ratings - n)
    k = (ratings - squares / ratings) / (n - 1)
    return _ratio(mean_between - mean_within, mean_between + (k - 1) * mean_within)


def _two_way_terms(ratings: Floats) -> Floats:
    """Per item 1, Σ x², (Σ x)², and the ratings themselves; shape (items, 3 + raters)."""
    total = ratings.sum(axis=1)
    return np.column_stack([np.ones_like(total), (ratings**2).sum(axis=1), total**2, ratings])


def _mean_squares(sums: Floats) -> tuple[Floats, Floats, Floats, Floats, int]:
    """MSR, MSC, MSE, n and k."""
    n, square_sum, item_squares, by_rater = sums[..., 0], sums[..., 1], sums[..., 2], sums[..., 3:]
    k = by_rater.shape[-1]
    correction = by_rater.sum(axis=-1) ** 2 / (n * k)
    items = item_squares / k - correction
    raters = (by_rater**2).sum(axis=-1) / n - correction
    rest = np.maximum(square_sum - correction - items - raters, 0.0)
    return items / (n - 1), raters / (k - 1), rest / ((n - 1) * (k - 1)), n, k


def _two_way_sample(sums: Floats) -> Floats:
    items, raters, rest, n, k = _mean_squares(sums)
    return _ratio(items - rest, items + (k - 1) * rest + k * (raters - rest) / n)


def _two_way_fixed(sums: Floats) -> Floats:
    items, _raters, rest, _n, k = _mean_squares(sums)
    return _ratio(items - rest, items + (k - 1) * rest)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > _ROUNDING)


_VALUES = {"ICC1": _one_way, "ICC2": _two_way_sample, "ICC3": _two_way_fixed}


def _bounds_without_spread(value: float, n: int, raters: float, level: float) -> tuple[float, float]:
    """Wilson's, one trial an item, on the way from the lowest correlation -1/(k-1) to 1."""
    lowest = -1 / (raters - 1)
    low, high = wilson_interval(min(1.0, max(0.0, (value - lowest) / (1 - lowest))) * n, n, level=level)
    return lowest + low * (1 - lowest), lowest + high * (1 - lowest)


def _of_the_mean(single: tuple[float, float, float], raters: float, n: int) -> Outcome:
    """Spearman and Brown's step from one rating to the mean of k; it keeps the order, so bounds go with it.

    Below -1/(k-1) there is no reliability of a mean; a bound there is set to -1, the value is not defined.
    """
    value, low, high = (_spearman_brown(rho, raters) for rho in single)
    if value is None:
        return Undefined(Reason.NO_SPREAD)
    low = value if low is None else max(low, min(-1.0, value))
    return Estimate(value=value, low=low, high=high if high is not None else value, n=n, chance=0.0)


def _spearman_brown(rho: float, raters: float) -> float | None:
    room = 1 + (raters - 1) * rho
    return raters * rho / room if room > _ROUNDING else None
